"""CVAT for video 1.1: skeleton tracks that CVAT imports for correcting; write only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring
from xml.sax.saxutils import quoteattr

import numpy as np

from diffpose.formats.atomic import atomic_write
from diffpose.formats.common import check_sequences, known_keypoints, provenance_to_json, to_json
from diffpose.poses import Origin, PoseSequence, Provenance, VideoInfo
from diffpose.skeleton import Skeleton

LABEL = "person"
_CIRCLE_PX = 100  # the picture of the skeleton in CVAT's label editor


def write_cvat(
    path: Path | str,
    sequences: Sequence[PoseSequence],
    info: VideoInfo,
    provenance: Provenance,
    *,
    min_confidence: float = 0.3,
) -> None:
    """Write one skeleton track per person, a keyframe for every pose.

    CVAT interpolates between keyframes; a track is therefore switched off, by a keyframe with all
    points outside, after each run of frames. A keypoint below ``min_confidence`` is occluded, an
    unknown one outside. Each point's attribute ``origin`` says where it comes from. Coordinates
    have two decimals, as CVAT's own. The labels must exist in the CVAT project: its raw label
    editor takes those of the file's ``meta``.

    Args:
        path: File to write.
        sequences: Tracks of one skeleton, keypoints in video pixels.
        info: The video the poses belong to.
        provenance: What made the poses; stands in ``meta``.
        min_confidence: Below it a predicted keypoint counts as occluded.
    """
    skeleton = check_sequences(sequences, info)
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    meta = SubElement(root, "meta")
    _task(meta, skeleton, info)
    SubElement(meta, "source").text = info.path.name
    SubElement(meta, "diffpose").text = to_json(provenance_to_json(provenance))
    for sequence in sequences:
        if len(sequence):
            root.append(_track(sequence, info, min_confidence))
    indent(root, " ")
    atomic_write(path, tostring(root, encoding="unicode", xml_declaration=True) + "\n")


def _task(meta: Element, skeleton: Skeleton | None, info: VideoInfo) -> None:
    task = SubElement(meta, "task")
    size = SubElement(task, "original_size")
    for name, text in (
        ("name", info.path.stem), ("size", str(info.num_frames)), ("mode", "interpolation"),
        ("start_frame", "0"), ("stop_frame", str(info.num_frames - 1)),
    ):  # fmt: skip
        SubElement(task, name).text = text
    SubElement(size, "width").text = str(info.width)
    SubElement(size, "height").text = str(info.height)
    labels = SubElement(task, "labels")
    if skeleton is None:
        return
    person = SubElement(labels, "label")
    SubElement(person, "name").text = LABEL
    SubElement(person, "type").text = "skeleton"
    SubElement(person, "attributes")
    SubElement(person, "svg").text = _svg(skeleton)
    for name in skeleton.keypoints:
        label = SubElement(labels, "label")
        SubElement(label, "name").text = name
        SubElement(label, "type").text = "points"
        attribute = SubElement(SubElement(label, "attributes"), "attribute")
        origins = "\n".join(origin.name.lower() for origin in Origin)
        for key, text in (
            ("name", "origin"), ("mutable", "True"), ("input_type", "select"),
            ("default_value", Origin.PREDICTED.name.lower()), ("values", origins),
        ):  # fmt: skip
            SubElement(attribute, key).text = text
        SubElement(label, "parent").text = LABEL


def _svg(skeleton: Skeleton) -> str:
    """The skeleton on a circle: CVAT only needs which points there are and which are joined."""
    angle = 2 * np.pi * np.arange(len(skeleton)) / len(skeleton)
    x, y = (_CIRCLE_PX / 2 * (1 + 0.9 * f(angle)) for f in (np.sin, np.cos))
    lines = [
        f'<line x1="{x[a]:.1f}" y1="{y[a]:.1f}" x2="{x[b]:.1f}" y2="{y[b]:.1f}" '
        f'data-type="edge" data-node-from="{a + 1}" data-node-to="{b + 1}"></line>'
        for a, b in skeleton.edge_indices.tolist()
    ]
    circles = [
        f'<circle r="0.75" cx="{x[i]:.1f}" cy="{y[i]:.1f}" data-type="element node" '
        f'data-element-id="{i + 1}" data-node-id="{i + 1}" '
        f"data-label-name={quoteattr(name)}></circle>"
        for i, name in enumerate(skeleton.keypoints)
    ]
    return "".join(lines + circles)


def _track(sequence: PoseSequence, info: VideoInfo, min_confidence: float) -> Element:
    corrected = bool((sequence.origin == Origin.CORRECTED).any())
    source = "semi-auto" if corrected else "auto"
    attributes = {"id": str(sequence.track_id), "label": LABEL, "source": source}
    track = Element("track", attributes)
    known = known_keypoints(sequence)
    hidden = sequence.confidence < min_confidence  # false where a person placed the keypoint
    frames = sequence.frames.tolist()
    for row, frame in enumerate(frames):
        skeleton = _skeleton(track, frame)
        for index, name in enumerate(sequence.skeleton.keypoints):
            x, y = sequence.keypoints[row, index] if known[row, index] else (0, 0)
            point = _point(skeleton, name, f"{x:.2f},{y:.2f}", outside=not known[row, index])
            point.set("occluded", str(int(hidden[row, index] and known[row, index])))
            attribute = SubElement(point, "attribute", {"name": "origin"})
            attribute.text = Origin(int(sequence.origin[row, index])).name.lower()
        after = frame + 1
        if after < info.num_frames and (row + 1 == len(frames) or frames[row + 1] != after):
            gone = _skeleton(track, after)
            for name in sequence.skeleton.keypoints:
                _point(gone, name, "0.00,0.00", outside=True)
    return track


def _skeleton(track: Element, frame: int) -> Element:
    return SubElement(track, "skeleton", {"frame": str(frame), "keyframe": "1", "z_order": "0"})


def _point(skeleton: Element, name: str, xy: str, *, outside: bool) -> Element:
    attributes = {
        "label": name, "keyframe": "1", "outside": str(int(outside)), "occluded": "0", "points": xy,
    }  # fmt: skip
    return SubElement(skeleton, "points", attributes)
