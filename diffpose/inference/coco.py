"""An estimator's poses of a COCO split in the annotated boxes, and their OKS."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from diffpose.data.coco_source import CocoSource
from diffpose.evaluation.oks import OksPicture, OksScore, score_oks
from diffpose.inference.boxed import BoxedPerson, estimate_boxed
from diffpose.inference.estimator import Estimator
from diffpose.poses import SamplingConfig
from diffpose.skeleton import COCO17


def evaluate_coco(
    estimator: Estimator,
    source: CocoSource,
    sampling: SamplingConfig,
    *,
    progress: Callable[[float], None] = lambda done: None,
) -> OksScore:
    """COCO's keypoint metrics of poses in the annotated boxes.

    A pose's score is its mean confidence. A keypoint that the estimator's skeleton lacks counts as
    not found.
    """
    annotations = source.annotations
    names = [annotations.image_names[row] for row in annotations.image[source.people]]
    people = [
        BoxedPerson((name,) * (2 * estimator.radius + 1), box)
        for name, box in zip(names, annotations.boxes[source.people], strict=True)
    ]
    keypoints, confidence = estimate_boxed(
        estimator, source.pictures, people, sampling, skeleton=COCO17, progress=progress
    )
    known = annotations.keypoints[..., 2:] > 0
    truth = np.where(known, annotations.keypoints[..., :2], np.nan)
    pictures = []
    for row in range(len(annotations.image_ids)):
        true = annotations.image == row
        found = annotations.image[source.people] == row
        pictures.append(
            OksPicture(
                truth=truth[true],
                areas=annotations.areas[true],
                boxes=annotations.boxes[true],
                found=keypoints[found],
                scores=np.nanmean(confidence[found], axis=1),
                crowd=annotations.crowd[true],
            )
        )
    return score_oks(pictures, COCO17.sigmas)


def oks_table(score: OksScore, *, boxes: str) -> str:
    """A Markdown table of COCO's ten numbers; the paper has no row of COCO to compare with."""
    names = ("AP", "AP50", "AP75", "AP M", "AP L", "AR", "AR50", "AR75", "AR M", "AR L")
    values = " | ".join(f"{100 * value:.1f}" for value in vars(score).values())
    return "\n".join(
        [
            "| COCO val, OKS | boxes | " + " | ".join(names) + " |",
            "|---|---|" + "---|" * len(names),
            f"| ours | {boxes} | {values} |",
        ]
    )
