"""What the model has said, by track and revision: whole at once, or part by part as it comes."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np

from diffpose.errors import ProjectError
from diffpose.poses import PoseSequence, Provenance, Track
from diffpose.review.blobs import (
    join_chunks,
    pack_boxes,
    skeleton_from_json,
    skeleton_to_json,
    split_chunks,
    unpack_boxes,
    unpack_frames,
)
from diffpose.review.database import Database
from diffpose.review.migrations import Clock
from diffpose.review.rows import provenance_from_json, whole

_OF_RUN = "WHERE track_id = ? AND revision = ?"


class RunState(NamedTuple):
    """How far the newest predictions of a track are: changes with everything that changes them.

    Attributes:
        revision: Of the predictions.
        finished: Whether the last part was written.
        parts: Chunks written so far.
    """

    revision: int
    finished: int
    parts: int


class Predictions:
    """The predictions of a project; the part of `diffpose.review.store.Store` that holds them.

    Predictions are never overwritten: new ones get the next revision. They may come in parts, in
    the order of frames. Until such a run is finished, frames after its last part have the poses
    of the revision before: a run that was stopped leaves no gap.
    """

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database, self._clock = database, clock

    @property
    def revision(self) -> int:
        """Increases with every event and everything written of predictions, by whomever."""
        row = self._database.one("SELECT revision FROM project")
        with self._database.readable():
            return whole(row[0], "the project's revision")

    def track_ids(self) -> list[int]:
        """Tracks that have predictions, increasing."""
        rows = self._database.all("SELECT DISTINCT track_id FROM predictions ORDER BY track_id")
        return self._whole(rows, "a track", most=2**31 - 1)

    def boxes_of(self, track_id: int) -> Track | None:
        """The person's boxes, if they were given."""
        rows = self._database.all("SELECT boxes FROM tracks WHERE track_id = ?", track_id)
        with self._database.readable():
            return unpack_boxes(track_id, rows[0][0]) if rows and rows[0][0] else None

    def add_predictions(
        self,
        sequence: PoseSequence,
        *,
        video_id: str,
        boxes: Track | None = None,
        provenance: Provenance | None = None,
        finished: bool = True,
    ) -> int:
        """Add what the model says of one track, under a new revision; older ones stay.

        Args:
            sequence: The poses; its track_id is unique in the project.
            video_id: A video made known by `add_video`.
            boxes: The person's boxes.
            provenance: How the poses were made.
            finished: Whether these are all; otherwise `extend_predictions` adds later frames, and
                until `finish_predictions` those after the last keep their earlier poses.

        Returns:
            The new revision.
        """
        made_by = json.dumps(asdict(provenance) if provenance else None)
        now = self._clock().isoformat()
        track_id = sequence.track_id
        with self._database.transaction():
            known = self._database.all("SELECT video_id FROM tracks WHERE track_id = ?", track_id)
            if known and known[0][0] != video_id:
                raise ProjectError(
                    f"Track {track_id} belongs to another video of the project; "
                    f"give the new one another number."
                )
            if not known:
                self._database.execute(
                    "INSERT INTO tracks (track_id, video_id) VALUES (?, ?)", (track_id, video_id)
                )
            if boxes is not None:
                self._database.execute(
                    "UPDATE tracks SET boxes = ? WHERE track_id = ?", (pack_boxes(boxes), track_id)
                )
            revision = self._next_revision()
            skeleton = skeleton_to_json(sequence.skeleton)
            self._database.execute(
                "INSERT INTO predictions VALUES (?, ?, ?, ?, ?, ?)",
                (revision, track_id, skeleton, made_by, now, int(finished)),
            )
            self._insert_chunks(sequence, revision)
        return revision

    def extend_predictions(self, sequence: PoseSequence, revision: int) -> None:
        """Add later frames to predictions of a revision, the newest of their track.

        Raises:
            ProjectError: Somebody has added newer predictions of the track meanwhile.
        """
        with self._database.transaction():
            self._refuse_overtaken(sequence.track_id, revision)
            rows = self._database.all(
                f"SELECT frames FROM prediction_chunks {_OF_RUN}", sequence.track_id, revision
            )
            with self._database.readable():
                first = sum(len(unpack_frames(row[0])) for row in rows)
            self._insert_chunks(sequence, revision, first=first)
            self._next_revision()

    def finish_predictions(self, track_id: int, revision: int) -> None:
        """Say that predictions of a revision are whole: frames that they lack have no pose."""
        with self._database.transaction():
            self._refuse_overtaken(track_id, revision)
            self._database.execute(
                f"UPDATE predictions SET finished = 1 {_OF_RUN}", (track_id, revision)
            )
            self._next_revision()

    def prediction_revisions(self, track_id: int) -> list[int]:
        """Revisions of a track's predictions, oldest first."""
        rows = self._database.all(
            "SELECT revision FROM predictions WHERE track_id = ? ORDER BY revision", track_id
        )
        return self._whole(rows, "a revision")

    def run_state(self, track_id: int) -> RunState:
        """How far a track's newest predictions are."""
        rows = self._database.all(
            "SELECT revision, finished, (SELECT count(*) FROM prediction_chunks c "
            "WHERE c.track_id = p.track_id AND c.revision = p.revision) "
            "FROM predictions p WHERE track_id = ? ORDER BY revision DESC LIMIT 1",
            track_id,
        )
        if not rows:
            raise self._no_track(track_id)
        with self._database.readable():
            return RunState(*(whole(value, "a run") for value in rows[0]))

    def predictions(self, track_id: int, revision: int | None = None) -> PoseSequence:
        """What the model said of a track: lastly, or in one of `prediction_revisions`."""
        first, *earlier = self._runs(track_id, revision)
        result = self._read(track_id, first)
        for older in earlier:
            result = _continued(result, self._read(track_id, older))
        return result

    def provenance(self, track_id: int, revision: int | None = None) -> Provenance | None:
        """How a track's predictions were made: the last ones, or those of a revision.

        Where a run was stopped, ``extra["earlier"]`` says how the poses after its last frame were
        made: of each run before it, the frame after which its poses stand, and all the rest.
        """
        first, *earlier = self._runs(track_id, revision)
        shown = self._made_by(track_id, first)
        if shown is None or not earlier:
            return shown
        before, last = list[dict[str, Any]](), self._last_frame(track_id, first)
        for run in earlier:
            made, end = self._made_by(track_id, run), self._last_frame(track_id, run)
            if made is not None and end > last:
                before.append({"after_frame": last, **asdict(made)})
            last = max(last, end)
        return replace(shown, extra={**shown.extra, "earlier": before}) if before else shown

    def _runs(self, track_id: int, revision: int | None) -> list[int]:
        """Revisions whose predictions a revision shows, newest first."""
        known = self.prediction_revisions(track_id)
        if not known:
            raise self._no_track(track_id)
        chosen = known[-1] if revision is None else revision
        if chosen not in known:
            raise ProjectError(
                f"The project has no predictions of track {track_id} at revision {chosen}; "
                f"it has {reprlib.repr(known)}."
            )
        rows = self._database.all(
            "SELECT revision FROM predictions WHERE track_id = ? AND revision <= ? "
            "AND revision >= coalesce((SELECT max(revision) FROM predictions "
            "WHERE track_id = ? AND revision <= ? AND finished), 0) ORDER BY revision DESC",
            track_id, chosen, track_id, chosen,
        )  # fmt: skip
        return self._whole(rows, "a revision")

    def _read(self, track_id: int, revision: int) -> PoseSequence:
        skeleton = self._database.one(
            f"SELECT skeleton FROM predictions {_OF_RUN}", track_id, revision
        )[0]
        chunks = self._database.all(
            "SELECT frames, keypoints, confidence, covariance, origin "
            f"FROM prediction_chunks {_OF_RUN} ORDER BY start",
            track_id, revision,
        )  # fmt: skip
        with self._database.readable():
            return join_chunks(skeleton_from_json(skeleton), track_id, chunks)

    def _made_by(self, track_id: int, revision: int) -> Provenance | None:
        row = self._database.one(
            f"SELECT provenance FROM predictions {_OF_RUN}", track_id, revision
        )
        with self._database.readable():
            return provenance_from_json(row[0])

    def _last_frame(self, track_id: int, revision: int) -> int:
        rows = self._database.all(
            f"SELECT frames FROM prediction_chunks {_OF_RUN} ORDER BY start DESC LIMIT 1",
            track_id, revision,
        )  # fmt: skip
        with self._database.readable():
            return max((int(unpack_frames(row[0]).max(initial=-1)) for row in rows), default=-1)

    def _insert_chunks(self, sequence: PoseSequence, revision: int, *, first: int = 0) -> None:
        self._database.executemany(
            "INSERT INTO prediction_chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (revision, sequence.track_id, *chunk)
                for chunk in split_chunks(sequence, first=first)
            ],
        )

    def _refuse_overtaken(self, track_id: int, revision: int) -> None:
        if self.prediction_revisions(track_id)[-1:] != [revision]:
            raise ProjectError(
                f"The poses of track {track_id} were changed elsewhere meanwhile; those found "
                "until then are kept. Find them again if they are still wanted."
            )

    def _whole(self, rows: Sequence[Any], what: str, *, most: int = 2**63 - 1) -> list[int]:
        with self._database.readable():
            return [whole(row[0], what, most=most) for row in rows]

    def _no_track(self, track_id: int) -> ProjectError:
        known = reprlib.repr(self.track_ids())
        return ProjectError(f"The project has no track {track_id}; it has {known}.")

    def _next_revision(self) -> int:
        self._database.execute("UPDATE project SET revision = revision + 1")
        return self.revision


def _continued(newer: PoseSequence, older: PoseSequence) -> PoseSequence:
    """The newer poses, and after the last of them the older ones."""
    if newer.skeleton != older.skeleton:
        return newer
    later = older.rows(older.frames > (newer.frames[-1] if len(newer) else -1))
    return PoseSequence(
        newer.skeleton,
        newer.track_id,
        np.concatenate([newer.frames, later.frames]),
        np.concatenate([newer.keypoints, later.keypoints]),
        np.concatenate([newer.confidence, later.confidence]),
        np.concatenate([newer.covariance, later.covariance]),
        np.concatenate([newer.origin, later.origin]),
    )
