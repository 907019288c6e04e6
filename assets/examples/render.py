"""Render the example clips with their true poses.

    python assets/examples/render.py MATERIAL

MATERIAL holds avatars/, mocap/ and backgrounds/ (docs/training.md). The people, motions and
photos are those of the test split: no weights were trained on them.
"""

import sys
from pathlib import Path

import numpy as np

from diffpose.data.synthetic.clip import ClipPlan, SyntheticClip, render_clip
from diffpose.data.synthetic.library import open_library
from diffpose.formats.native import write_native
from diffpose.poses import PoseSequence, Provenance
from diffpose.skeleton import HALPE26
from diffpose.video.encode import write_video
from diffpose.video.info import probe

OCCLUDED, VISIBLE = 1, 2
PLANS = {
    ClipPlan("jumping jacks", num_people=1, motions="jumping_jacks", person_height=0.62,
             arrangement="apart", num_frames=75): 13,
    ClipPlan("walk", num_people=1, motions="^walking$", person_height=0.72, num_frames=75): 10,
    ClipPlan("two people crossing", num_people=2, motions="^walk", person_height=0.6,
             num_frames=75, shutter=0.4): 18,
}  # fmt: skip


def truth_of(clip: SyntheticClip, person: int) -> PoseSequence:
    """The true poses of one person: confidence 1 where seen, 0.5 where hidden."""
    visibility = clip.visibility[:, person]
    shape = (*visibility.shape, 2, 2)
    return PoseSequence(
        skeleton=HALPE26,
        track_id=person,
        frames=np.arange(len(visibility)),
        keypoints=clip.keypoints[:, person],
        confidence=np.select([visibility == VISIBLE, visibility == OCCLUDED], [1.0, 0.5], 0.0),
        covariance=np.zeros(shape),
    )


def main(material: Path, folder: Path) -> None:
    library = open_library(
        material / "avatars", material / "mocap", material / "backgrounds", split="test"
    )
    for plan, seed in PLANS.items():
        clip = render_clip(library, plan, seed=seed)
        path = folder / f"{plan.name}.mp4"
        write_video(path, iter(clip.frames), np.arange(len(clip.frames)) / clip.fps)
        people = [truth_of(clip, p) for p in range(clip.keypoints.shape[1])]
        provenance = Provenance("rendered", "none", 1, 1, seed, {"people": clip.identities})
        write_native(path.with_suffix(".truth.json"), people, probe(path), provenance)
        print(path.name, clip.identities, f"{path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent)
