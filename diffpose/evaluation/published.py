"""Published results, and ours in one table with them."""

from __future__ import annotations

from collections.abc import Mapping

COLUMNS = ("Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Mean")

DIFFPOSE_POSETRACK: Mapping[int, tuple[float, ...]] = {
    2017: (89.0, 91.2, 87.4, 83.5, 85.5, 87.2, 80.2, 86.4),
    2018: (85.0, 87.7, 84.3, 81.5, 81.4, 82.9, 77.6, 83.0),
    2021: (84.7, 85.6, 83.6, 80.8, 81.4, 83.5, 80.0, 82.9),
}
"""AP of the paper (Feng et al., ICCV 2023) on the val split of each year, in `COLUMNS`."""


def posetrack_table(ours: Mapping[str, float], *, year: int, boxes: str) -> str:
    """A Markdown table of AP by joint: ours, and the paper's row with its own boxes.

    Args:
        ours: AP by column, 0 to 100.
        year: Of PoseTrack.
        boxes: Where our person boxes come from.
    """
    head = f"| PoseTrack{year} val, AP | boxes | " + " | ".join(COLUMNS) + " |"
    rule = "|---|---|" + "---|" * len(COLUMNS)
    rows = [("ours", boxes, tuple(ours[name] for name in COLUMNS))]
    rows.append(("DiffPose, as published", "a detector's", DIFFPOSE_POSETRACK[year]))
    lines = [
        f"| {name} | {source} | " + " | ".join(f"{value:.1f}" for value in values) + " |"
        for name, source, values in rows
    ]
    return "\n".join([head, rule, *lines])
