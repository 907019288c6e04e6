"""A run of the model whose poses go into the project as they are found."""

from __future__ import annotations

from diffpose.poses import PoseSequence, Provenance, Track
from diffpose.review.store import Store
from diffpose.review.tracks import LoadedTrack, carried_over


class Run:
    """New predictions of one track that come in parts, in the order of frames.

    Every part is on the disk when `add` returns, under the corrections that were made before. A
    run that is not finished, because it was cancelled or its process was killed, keeps its parts;
    later frames keep the poses they had.

    Args:
        store: The project.
        old: The track as it is, of this run alone; None for one without poses.
        seen: The project's revision whose events ``old`` holds.
        video_id: Of the track.
        boxes: The person's boxes.
        provenance: How the poses are made.
        from_scratch: Whether later frames lose the poses they had at once, not when the run is
            finished.

    Attributes:
        count: Poses found so far.
    """

    def __init__(
        self,
        store: Store,
        old: LoadedTrack | None,
        seen: int,
        *,
        video_id: str,
        boxes: Track | None = None,
        provenance: Provenance | None = None,
        from_scratch: bool = False,
    ) -> None:
        self.count = 0
        self._store, self._old = store, old
        self._video_id, self._boxes, self._provenance = video_id, boxes, provenance
        self._stands_alone = from_scratch or old is None
        self._seen = seen
        self._revision: int | None = None
        self._last = -1
        self._nothing: PoseSequence | None = None

    def add(self, part: PoseSequence) -> None:
        """Keep the poses of later frames.

        Raises:
            ProjectError: The file cannot be written, the track is of another skeleton, or its
                poses were changed elsewhere meanwhile.
        """
        if not len(part):
            return
        until, store = int(part.frames[-1]), self._store
        with store.transaction():
            fitted = self._fitted(part, until=until)
            revision = self._revision
            if revision is None:
                revision = store.add_predictions(
                    fitted, video_id=self._video_id, boxes=self._boxes,
                    provenance=self._provenance, finished=self._stands_alone,
                )  # fmt: skip
            else:
                store.extend_predictions(fitted, revision)
        self._revision, self._last, self.count = revision, until, self.count + len(part)
        self._nothing = part.rows(slice(0))

    def finish(self) -> None:
        """Say that all poses are there: frames without a new one lose theirs, unless confirmed."""
        if self._revision is None or self._nothing is None or self._stands_alone:
            return
        with self._store.transaction():
            rest = self._fitted(self._nothing, until=None)
            if len(rest):
                self._store.extend_predictions(rest, self._revision)
            self._store.finish_predictions(rest.track_id, self._revision)

    def _fitted(self, part: PoseSequence, *, until: int | None) -> PoseSequence:
        if self._old is None:
            return part
        now = self._store.revision
        self._old.extend(self._store.events(after=self._seen, track_id=part.track_id))
        self._seen = now
        return carried_over(part, self._old, after=self._last, until=until)
