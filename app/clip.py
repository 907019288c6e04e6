"""A video in a session: its frames for the browser, and its people."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import views
from app.examples import Prepared, write_times
from app.people import REACH, corrected_track
from diffpose.errors import InputError
from diffpose.formats.atomic import atomic_write
from diffpose.geometry import check_box
from diffpose.inference.interfaces import PoseEstimator
from diffpose.inference.pipeline import tracks_from_boxes
from diffpose.poses import Track, VideoInfo
from diffpose.video.decode import Video


class Clip:
    """A video in a session: frames as pictures for the browser, and its people.

    Their poses are in the session's project. An example's video, pictures and times are
    everybody's (`app.examples.Prepared`).

    Attributes:
        clip_id: Unguessable; names the clip's folder and its features.
        video: Its frames; may be used from several threads.
        num_frames: How many frames are used.
        ready: How many pictures the browser may fetch.
        searched: Whether people have been looked for.
        has_truth: Whether true poses are known: the clip was rendered.
        detected: Tracks of the detector by id.
        drawn: Hand-made boxes by person and frame.
        followed: Tracks of people who were drawn once and followed from there.
        adapted: The model as it was adapted to this clip's project; None for the shipped one.
        adapted_words: What the page says of it; empty for the shipped one.
    """

    def __init__(
        self,
        video: Video,
        *,
        name: str,
        folder: Path,
        num_frames: int,
        shared: Prepared | None = None,
    ) -> None:
        self.clip_id = secrets.token_urlsafe(12)
        self.name = name
        self.video = video
        self.num_frames = num_frames
        self.ready = 0
        self.searched = False
        self.detected: dict[int, Track] = {}
        self.drawn: dict[int, dict[int, NDArray[np.float64]]] = {}
        self.followed: dict[int, Track] = {}
        self.tracks: dict[int, Track] = {}
        self.adapted: PoseEstimator | None = None
        self.adapted_words = ""
        self.folder = folder / self.clip_id
        self.folder.mkdir(parents=True)
        self.frames_folder = shared.frames_folder if shared else self.folder / "frames"
        self.has_truth = shared.has_truth if shared else False
        self._times_file = shared.times_file if shared else self.folder / "times.json"
        self._tracks_file: Path | None = None
        self._shared = shared
        if shared:
            shared.enter()

    @property
    def info(self) -> VideoInfo:
        """What the video holds."""
        return self.video.info

    def write_times(self, truth: list[list[views.Rows]] | None) -> None:
        """Write the file with the frames' times and, for examples, the true poses."""
        self.has_truth = truth is not None
        write_times(self._times_file, self.video, self.num_frames, truth)

    def release(self) -> None:
        """Let go of the video, which others may still look at."""
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.leave()
        else:
            self.video.close()

    def set_detected(self, tracks: Iterable[Track]) -> None:
        """Take over the detector's people, numbered after those drawn already."""
        first = max(self.drawn, default=-1) + 1
        moved = (replace(track, track_id=track.track_id + first) for track in tracks)
        self.detected = {track.track_id: track for track in moved}
        self.searched = True
        self._rebuild()

    def lone_box(self, person: int) -> tuple[int, NDArray[np.float64]] | None:
        """Frame and box of somebody who was drawn in one frame of a video and nowhere found."""
        boxes = self.drawn.get(person, {})
        known = person in self.detected or person in self.followed
        if known or len(boxes) != 1 or self.info.names or self.num_frames < 2:
            return None
        return next(iter(boxes.items()))

    def set_followed(self, track: Track) -> None:
        """Take over the boxes of somebody who was drawn and then followed."""
        self.followed[track.track_id] = track
        self._rebuild()

    def draw_box(
        self, frame: int, box: tuple[float, float, float, float], *, track: int | None
    ) -> tuple[int, set[int]]:
        """Put a person's box in one frame where the hand drew it.

        Returns:
            The person's id, a new one if ``track`` is None, and the frames whose box changed.
        """
        if not 0 <= frame < self.num_frames:
            raise InputError(f"Frame {frame} is outside this clip of {self.num_frames} frames.")
        if track is not None and track not in self.tracks:
            raise InputError(f"{views.person_name(track)} is not in this clip; choose another.")
        good = check_box(box, size=self.info.size)
        person = max(self.tracks, default=-1) + 1 if track is None else track
        before = self.tracks.get(person)
        self.drawn.setdefault(person, {})[frame] = good
        self._rebuild()
        changed = set() if before is None else _changed_frames(before, self.tracks[person])
        return person, changed

    def view(self) -> views.Json:
        """The clip's addresses and sizes for the canvas."""
        return {
            "id": self.clip_id,
            "name": self.name,
            "frames": self.num_frames,
            "ready": self.ready,
            "width": self.info.width,
            "height": self.info.height,
            "url": f"{self.frames_folder}/",
            "times": str(self._times_file),
        }

    @property
    def tracks_address(self) -> str:
        """Path of the newest file of boxes; empty if there is none."""
        return str(self._tracks_file or "")

    def _rebuild(self) -> None:
        tracks = dict(self.detected)
        for person, boxes in self.drawn.items():
            base = self.detected.get(person, self.followed.get(person))
            if base is not None:
                # Unrelated pictures: a correction says nothing about the next picture.
                reach = 1 if self.info.names else REACH
                tracks[person] = corrected_track(base, boxes, size=self.info.size, reach=reach)
            else:
                track = tracks_from_boxes(list(boxes.items()), self.info)[0]
                tracks[person] = replace(track, track_id=person)
        self.tracks = tracks
        # A new name each time: the browser sees by the address that the content is new, and that
        # what was sampled live is old.
        path = self.folder / f"tracks-{secrets.token_hex(4)}.json"
        _write_json(path, views.tracks_view(tracks))
        self._tracks_file = path


def _changed_frames(before: Track, after: Track) -> set[int]:
    old = dict(zip(before.frames.tolist(), before.boxes, strict=True))
    return {
        frame
        for frame, box in zip(after.frames.tolist(), after.boxes, strict=True)
        if frame not in old or not np.allclose(old[frame], box, atol=0.05)
    }


def _write_json(path: Path, content: Any) -> None:
    atomic_write(path, json.dumps(content, separators=(",", ":"), allow_nan=False))
