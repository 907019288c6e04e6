"""SLEAP's ``.slp`` files: predictions, the corrections linked to them, and the review queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffpose.errors import FormatError
from diffpose.formats.atomic import atomic_write_bytes
from diffpose.formats.common import (
    check_sequences,
    known_keypoints,
    ordered_poses,
    provenance_to_json,
    scores,
    to_json,
)
from diffpose.formats.foreign import ForeignPoses, foreign_skeleton, track_ids
from diffpose.formats.sleap_tables import (
    FRAME,
    INSTANCE,
    NO_LINK,
    POINT,
    PREDICTED,
    PREDICTED_POINT,
    USER,
    check_links,
    checked_tables,
)
from diffpose.isolated import run_isolated
from diffpose.poses import Origin, PoseSequence, Provenance, VideoInfo
from diffpose.skeleton import Skeleton

# 1.1: pixel centres lie at whole numbers; 1.2: tracking scores. What SLEAP 1.3 and later read.
FORMAT_ID = 1.2
_NEWEST_MAJOR = 2


def write_sleap(
    path: Path | str,
    sequences: Sequence[PoseSequence],
    info: VideoInfo,
    provenance: Provenance,
    *,
    predictions: Sequence[PoseSequence] = (),
    queue: Sequence[int] = (),
) -> None:
    """Write poses as SLEAP labels; needs h5py.

    Every pose is a predicted instance with a score per keypoint. A pose with a corrected keypoint
    is a user instance as well, linked to the predicted one; ``complete`` marks the keypoints a
    person placed. In the predicted instance these are unknown unless ``predictions`` holds what
    the model said.

    Args:
        path: File to write.
        sequences: Tracks of one skeleton, keypoints in video pixels.
        info: The video the poses belong to.
        provenance: What made the poses.
        predictions: The model's poses before any correction, found by track and frame.
        queue: Frames to look at, the most urgent first: SLEAP's suggestions.
    """
    skeleton = check_sequences(sequences, info)
    h5py = _h5py()
    tables = _Tables()
    said = {s.track_id: (s, {int(f): row for row, f in enumerate(s.frames)}) for s in predictions}
    index = {s.track_id: number for number, s in enumerate(sequences)}
    for sequence, row in ordered_poses(sequences):
        before = said.get(sequence.track_id)
        frame = int(sequence.frames[row])
        known_before = before[1].get(frame) if before else None
        model = (before[0], known_before) if before and known_before is not None else None
        tables.add(sequence, row, track=index[sequence.track_id], model=model)
    texts = {
        "videos_json": [_video_json(info)],
        "tracks_json": [to_json([0, str(s.track_id)]) for s in sequences],
        "suggestions_json": [
            to_json({"video": "0", "frame_idx": int(frame), "group": 0}) for frame in queue
        ],
    }
    with h5py.File("in-memory", "w", driver="core", backing_store=False) as file:
        group = file.create_group("metadata")
        group.attrs["format_id"] = FORMAT_ID
        group.attrs["json"] = np.bytes_(to_json(_metadata(skeleton, provenance)).encode())
        for name, lines in texts.items():
            data = np.array([line.encode() for line in lines], h5py.special_dtype(vlen=bytes))
            file.create_dataset(name, data=data, maxshape=(None,))
        for name, array in tables.arrays().items():
            file.create_dataset(name, data=array, maxshape=(None,))
        file.flush()
        content = file.id.get_file_image()
    atomic_write_bytes(path, content)


def read_sleap(path: Path | str) -> ForeignPoses:
    """Read the first video of a ``.slp`` file; a user's instance wins over the predicted one.

    Raises:
        FormatError: The file is none of SLEAP's, or of a newer version, or has several videos.
    """
    path = Path(path)
    if not path.is_file():
        raise FormatError(f"Cannot read {path} (no such file); check the name of the file.")
    try:
        found = run_isolated(
            "diffpose.formats.hdf:read_sleap_tables", str(path.resolve()), what=path.name
        )
        arrays, metadata, texts = checked_tables(found)
    except FormatError as error:
        raise FormatError(f"{path} is no file of SLEAP's labels: {error}") from None
    version = found["format_id"]
    if version >= _NEWEST_MAJOR + 1:
        raise FormatError(f"{path} has SLEAP's format {version:g}, which is newer than 2; "
                          "save it with an older SLEAP.")  # fmt: skip
    if len(np.unique(arrays["frames"]["video"])) > 1:
        raise FormatError(f"{path} labels several videos; save the labels of one.")
    try:
        check_links(arrays, len(texts["tracks_json"]))
        return _poses(metadata, arrays, texts, shift=0.0 if version >= 1.1 else -0.5)
    except FormatError as error:
        raise FormatError(f"{path} does not follow SLEAP's format: {error}") from None


@dataclass
class _Tables:
    """Rows of the file's tables, filled pose by pose."""

    frames: list[tuple[Any, ...]] = field(default_factory=list)
    instances: list[tuple[Any, ...]] = field(default_factory=list)
    points: list[NDArray[Any]] = field(default_factory=list)
    predicted: list[NDArray[Any]] = field(default_factory=list)

    def add(
        self,
        sequence: PoseSequence,
        row: int,
        *,
        track: int,
        model: tuple[PoseSequence, int] | None,
    ) -> None:
        frame = int(sequence.frames[row])
        if not self.frames or self.frames[-1][2] != frame:
            start = len(self.instances)
            self.frames.append((len(self.frames), 0, frame, start, start))
        corrected = (sequence.origin[row] == Origin.CORRECTED) & known_keypoints(sequence)[row]
        if model is not None:
            predicted = _points(*model, PREDICTED_POINT)
        else:
            predicted = _points(sequence, row, PREDICTED_POINT)
            for name in ("x", "y", "score"):
                predicted[name][corrected] = np.nan
            predicted["visible"][corrected] = False
        link = len(self.instances)
        self._instance(PREDICTED, track, NO_LINK, predicted)
        if corrected.any():
            points = _points(sequence, row, POINT)
            points["complete"] = corrected
            self._instance(USER, track, link, points)
        self.frames[-1] = (*self.frames[-1][:4], len(self.instances))

    def _instance(self, kind: int, track: int, link: int, points: NDArray[Any]) -> None:
        store = self.predicted if kind == PREDICTED else self.points
        start = len(store) * len(points)
        score = 0.0
        if kind == PREDICTED and np.isfinite(points["score"]).any():
            score = float(np.nanmean(points["score"]))
        self.instances.append(
            (len(self.instances), kind, len(self.frames) - 1, 0, track, link, score,
             start, start + len(points), np.nan)
        )  # fmt: skip
        store.append(points)

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "frames": np.array(self.frames, FRAME),
            "instances": np.array(self.instances, INSTANCE),
            "points": np.concatenate([np.zeros(0, POINT), *self.points]),
            "pred_points": np.concatenate([np.zeros(0, PREDICTED_POINT), *self.predicted]),
        }


def _points(sequence: PoseSequence, row: int, dtype: list[tuple[str, str]]) -> NDArray[Any]:
    known = known_keypoints(sequence)[row]
    result = np.zeros(len(known), dtype)
    for axis, name in enumerate(("x", "y")):
        result[name] = np.where(known, sequence.keypoints[row, :, axis], np.nan)
    result["visible"] = known
    if len(dtype) > len(POINT):
        result["score"] = np.where(known, scores(sequence)[row], 0)
    return result


def _metadata(skeleton: Skeleton | None, provenance: Provenance) -> dict[str, Any]:
    names = skeleton.keypoints if skeleton is not None else ()
    return {
        "version": "2.0.0",
        "skeletons": [_skeleton_json(skeleton)] if skeleton is not None else [],
        "nodes": [{"name": name, "weight": 1.0} for name in names],
        "videos": [],
        "tracks": [],
        "suggestions": [],
        "negative_anchors": {},
        "provenance": provenance_to_json(provenance),
    }


def _skeleton_json(skeleton: Skeleton) -> dict[str, Any]:
    """SLEAP's pickled graph; 1 is an edge of the body, 2 one of symmetry."""

    def link(source: int, target: int, kind: int, **more: int) -> dict[str, Any]:
        pickled = [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [kind]}]
        return {
            **more,
            "key": 0,
            "source": source,
            "target": target,
            "type": {"py/reduce": pickled},
        }

    edges = [
        link(a, b, 1, edge_insert_idx=number)
        for number, (a, b) in enumerate(skeleton.edge_indices.tolist())
    ]
    mirrors = [link(a, int(b), 2) for a, b in enumerate(skeleton.mirror) if a < b]
    return {
        "directed": True,
        "graph": {"name": skeleton.name, "num_edges_inserted": len(edges)},
        "links": [*edges, *mirrors],
        "multigraph": True,
        "nodes": [{"id": number} for number in range(len(skeleton))],
    }


def _video_json(info: VideoInfo) -> str:
    name = list(info.names) if info.names else info.path.name
    shape = [info.num_frames, info.height, info.width, 3]
    return to_json({"filename": name, "backend": {"filename": name, "shape": shape}})


def _poses(
    metadata: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    texts: Mapping[str, list[Any]],
    *,
    shift: float,
) -> ForeignPoses:
    nodes = [node["name"] for node in metadata["nodes"]]
    numbers = [_node_id(node) for node in metadata["skeletons"][0]["nodes"]]
    if max(numbers) >= len(nodes):
        raise FormatError("its skeleton has a node without a name")
    names = [nodes[number] for number in numbers]
    frame_of = dict(zip(arrays["frames"]["frame_id"].tolist(),
                        arrays["frames"]["frame_idx"].tolist(), strict=True))  # fmt: skip
    chosen: dict[int, dict[int, Any]] = {}
    for instance in arrays["instances"]:
        track = int(instance["track"])
        frame = frame_of[int(instance["frame_id"])]
        old = chosen.setdefault(track, {}).get(frame)
        if old is not None and old["instance_type"] == instance["instance_type"]:
            who = "people without a track" if track < 0 else f"poses of track {track}"
            raise FormatError(f"Frame {frame} has two {who}; assign tracks in SLEAP.")
        if old is None or instance["instance_type"] == USER:
            chosen[track][frame] = instance
    if -1 in chosen and len(chosen) > 1:
        raise FormatError("Some instances have a track and some have none; assign tracks in SLEAP.")
    tracks = [str(text[1]) for text in texts["tracks_json"]]
    listed = [tracks[track] if track >= 0 else "0" for track in sorted(chosen)]
    ids, notes = track_ids(listed)
    people = [
        _sequence(chosen[track], arrays, names, track_id=track_id, shift=shift)
        for track, track_id in zip(sorted(chosen), ids, strict=True)
    ]
    shape = (texts["videos_json"] or [{}])[0].get("backend", {}).get("shape")
    return ForeignPoses(
        sequences=tuple(people),
        num_frames=int(shape[0]) if shape else None,
        size=(int(shape[1]), int(shape[2])) if shape else None,
        notes=notes,
    )


def _node_id(node: Mapping[str, Any]) -> int:
    number = node["id"]
    if isinstance(number, Mapping):  # jsonpickle repeats no object: later ones are references
        raise FormatError("The skeleton is pickled with references; save it with a newer SLEAP.")
    return int(number)


def _sequence(
    instances: Mapping[int, Any],
    arrays: Mapping[str, NDArray[Any]],
    names: Sequence[str],
    *,
    track_id: int,
    shift: float,
) -> PoseSequence:
    frames, num = sorted(instances), len(names)
    keypoints = np.full((len(frames), num, 2), np.nan)
    confidence = np.full((len(frames), num), np.nan)
    origin = np.full((len(frames), num), Origin.PREDICTED, np.uint8)
    for row, frame in enumerate(frames):
        instance = instances[frame]
        user = instance["instance_type"] == USER
        points = _rows(arrays["points" if user else "pred_points"], instance, num)
        seen = points["visible"]
        keypoints[row, seen] = np.stack([points["x"], points["y"]], -1)[seen] + shift
        if not user:
            confidence[row] = np.clip(points["score"], 0, 1)
            continue
        # Of a linked instance only the points a person placed are complete; SLEAP marks none
        # where the whole instance was accepted.
        placed = points["complete"] if points["complete"].any() else seen
        origin[row, placed & seen] = Origin.CORRECTED
        link = int(instance["from_predicted"])
        if link != NO_LINK:
            model = _rows(arrays["pred_points"], arrays["instances"][link], num)
            confidence[row] = np.where(placed, np.nan, np.clip(model["score"], 0, 1))
    keypoints[~(np.abs(keypoints) <= np.finfo(np.float32).max)] = np.nan
    return PoseSequence(
        skeleton=foreign_skeleton(names),
        track_id=track_id,
        frames=np.array(frames, np.int32),
        keypoints=keypoints,
        confidence=confidence,
        covariance=np.full((len(frames), num, 2, 2), np.nan),
        origin=origin,
    )


def _rows(points: NDArray[Any], instance: Any, num: int) -> NDArray[Any]:
    rows = points[int(instance["point_id_start"]) : int(instance["point_id_end"])]
    if len(rows) != num:
        raise FormatError(f"an instance has {len(rows)} points, its skeleton {num}")
    return rows


def _h5py() -> Any:
    import h5py

    return h5py
