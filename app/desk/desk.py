"""One open project on one page: the reviewer's session, and what the page has been shown."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np

from app.desk import views
from app.payloads import parse_index, parse_text
from app.views import Json, person_name
from diffpose.errors import CorrectionError, InputError, ProjectError, StaleRevisionError
from diffpose.poses import Track
from diffpose.review.alternatives import Alternative
from diffpose.review.corrections import ReviewedTrack
from diffpose.review.events import from_dict
from diffpose.review.opening import remove_database
from diffpose.review.provenance import other_weights, sampling_of
from diffpose.review.session import Change, ReviewSession
from diffpose.review.store import Store
from diffpose.review.suggestions import Suggestion

KINDS = frozenset({
    "move", "hide", "out_of_frame", "show", "confirm", "unconfirm", "swap", "move_body",
    "copy_previous",
})  # fmt: skip
"""Actions that the page may send; the others have a request of their own."""

QUEUE_ITEMS = 60


class Desk:
    """An open project as one page sees it.

    Every answer to something that may have changed the project carries its revision and the poses
    that differ from those shown last. A page that holds another revision than the last answer said,
    because an answer was lost, gets everything.

    Args:
        store: The project; closed with the desk.
        review: The reviewer's session at it.
        tab: Names the page among all pages.
        weights: Says which weights are in use now.
        listed: Whether the project is among the visitor's; otherwise its file goes with the desk.
    """

    def __init__(
        self,
        store: Store,
        review: ReviewSession,
        *,
        tab: str,
        weights: Callable[[], str],
        listed: bool = True,
    ) -> None:
        self.store, self.review, self.tab, self.listed = store, review, tab, listed
        self.name = store.name
        self.files = {store.path, *(video.path for video in store.videos())}
        self.offered: Any = None  # an adaptation that does not help, for those who insist
        self.model = ""  # name of the adapted tensors that the page follows
        self.renewed = False  # by a job of this very page: no news from elsewhere
        self._weights = weights
        self._told: int | None = None
        self._shown: dict[int, ReviewedTrack] = {}
        self._suggestion: Suggestion | None = None
        self._alternatives: tuple[int, int, list[Alternative]] | None = None
        self._answered: tuple[str, Json] = ("", {})
        self._lock = threading.RLock()

    @property
    def project(self) -> str:
        """The name of the project's file, by which the page knows it."""
        return self.store.path.stem

    def close(self) -> None:
        """Let go of the file."""
        self.store.close()
        if not self.listed:
            remove_database(self.store.path)

    def view(self) -> Json | None:
        """What the page knows the project by; None while it holds no poses."""
        try:
            made = {str(t): sampling_of(self.store, t) for t in self.store.track_ids()}
            revision = self.store.revision
        except ProjectError:  # closed meanwhile, or damaged: asking for its poses says so
            return None
        settings = {
            track: {"steps": s.num_steps, "hypotheses": s.num_hypotheses}
            for track, s in made.items()
        }
        if not made:
            return None
        kept = {"listed": self.listed, "made": settings}
        return {"id": self.project, "name": self.name, "revision": revision, **kept}

    def other_weights(self, track_ids: Iterable[int]) -> str:
        """A sentence if poses of some tracks were found with other weights than are in use now."""
        now = self._weights()
        others = {track_id: other_weights(self.store, track_id, now) for track_id in track_ids}
        people = [person_name(track_id).lower() for track_id, found in others.items() if found]
        if not people:
            return ""
        hashes = dict.fromkeys(weights[:12] for found in others.values() for weights in found)
        return (
            f"Poses of {', '.join(people)} were found with other weights ({', '.join(hashes)}); "
            "press Find poses to find them again."
        )

    def refuse_other_weights(self, track_id: int) -> None:
        """Refuse to let the model in use speak of poses that another one has found.

        Raises:
            CorrectionError: The track's poses are of another model.
        """
        if track_id in self.review.track_ids and (words := self.other_weights([track_id])):
            raise CorrectionError(words)

    def move_boxes(self, boxes: Track, frames: Collection[int]) -> None:
        """Keep a person's corrected boxes; poses found in the given frames go with the old ones."""
        track_id = boxes.track_id
        if track_id not in self.review.track_ids:
            return
        poses, made = self.store.predictions(track_id), self.store.provenance(track_id)
        kept = poses.rows(~np.isin(poses.frames, list(frames)))
        self.renewed = True
        self.review.replace_predictions(kept, boxes=boxes, provenance=made)

    def change(self, what: str, fields: Mapping[str, Any], *, busy: bool = False) -> Json:
        """Do something that may change the project; once only, however often it is sent.

        Args:
            what: 'act', 'undo', 'redo', 'accept', 'take', or 'look' to see what others did.
            fields: The page's request, with ``ident`` and ``revision``.
            busy: Whether a job of this page may be changing the project.

        Returns:
            Whether it was done, words for the reviewer, and what differs from what was shown.

        Raises:
            ProjectError: The project can no longer be read.
        """
        with self._lock:
            ident = parse_text(fields, "ident") if fields.get("ident") else ""
            if ident and ident == self._answered[0]:
                return self._answered[1]
            reply = self._attempt(what, fields)
            seen = _revision(fields)
            reply |= self._differences(seen)
            if what == "look":
                if reply["changes"] and seen and not self.renewed:
                    reply["words"] = "This project was changed elsewhere; you see the newer poses."
                self.renewed = self.renewed and busy
            self._answered = ident, reply
            return reply

    def suggest(self, track: int, frame: int) -> Json | None:
        """The poses around a frame given what was placed, if they would differ."""
        self.refuse_other_weights(track)
        suggestion = self.review.suggest(track, frame)
        if suggestion is None:
            return None
        with self._lock:
            self._suggestion = suggestion
        return views.suggestion_view(suggestion, self.review.reviewed(track))

    def alternatives(self, track: int, frame: int) -> list[Json]:
        """Other poses the model thinks possible in a frame, each with its share."""
        self.refuse_other_weights(track)
        found = self.review.alternatives(track, frame)
        with self._lock:
            self._alternatives = track, frame, found
        return [views.alternative_view(item, self.review.skeleton) for item in found]

    def queue(self, target_px: float) -> Json:
        """Where a correction helps most."""
        queue = views.queue_view(
            self.review.queue(target_px=target_px),
            left=self.review.clicks_left(target_px=target_px),
            target_px=target_px,
            most=QUEUE_ITEMS,
        )
        return queue | views.learning_view(
            self.review.learned(), self.store.models.adapted(), offered=self.offered is not None
        )

    def _attempt(self, what: str, fields: Mapping[str, Any]) -> Json:
        try:
            change = self._do(what, fields)
        except StaleRevisionError:
            words = (
                "Somebody else has just changed this pose: nothing of yours was saved over it. "
                "You see the newer pose; repeat your correction if it is still wanted."
            )
            return {"ok": False, "stale": True, "words": words}
        except InputError as error:
            return {"ok": False, "words": str(error)}
        if change is None:
            return {"ok": True}
        reply: Json = {"ok": True, "words": f"Saved: {change.summary}."}
        if what in ("undo", "redo") and change.frames:
            reply["track"] = change.track_id
            reply["frame"] = _nearest(change.frames, fields.get("frame"))
        return reply

    def _do(self, what: str, fields: Mapping[str, Any]) -> Change | None:
        if what == "undo":
            return self.review.undo(tab=self.tab)
        if what == "redo":
            return self.review.redo(tab=self.tab)
        if what == "act":
            return self._act(fields)
        if what == "accept":
            if self._suggestion is None:
                return None
            suggestion, self._suggestion = self._suggestion, None
            return self.review.accept(suggestion, tab=self.tab)
        if what == "take":
            return self._take(fields)
        return None

    def _take(self, fields: Mapping[str, Any]) -> Change:
        shown, number = self._alternatives, parse_index(fields, "number")
        here = parse_index(fields, "track"), parse_index(fields, "frame")
        if shown is None or shown[:2] != here or number >= len(shown[2]):
            raise CorrectionError("This alternative is no longer there; look at the frame again.")
        self._suggestion = None
        track, frame, found = shown
        seen, tab = _revision(fields), self.tab
        return self.review.take(
            found[number], track_id=track, frame=frame, seen_revision=seen, tab=tab
        )

    def _act(self, fields: Mapping[str, Any]) -> Change:
        data = fields.get("action")
        if not isinstance(data, Mapping) or data.get("kind") not in KINDS:
            raise CorrectionError("This correction is not one that the page can make; reload it.")
        self._suggestion = None
        return self.review.apply(from_dict(data), _revision(fields), tab=self.tab)

    def _differences(self, seen: int | None) -> Json:
        revision = self.store.revision  # first: what comes after it is said again
        whole = seen != self._told
        changes = []
        for track_id in self.review.track_ids:
            now, before = self.review.reviewed(track_id), self._shown.get(track_id)
            if before is not now or whole:
                self._shown[track_id] = now
                change = views.track_view(now, None if whole else before)
                if change["whole"] or change["frames"] or change["gone"]:
                    changes.append(change)
        self._told = revision
        return {
            "changes": changes,
            "revision": revision,
            "undo": self.review.can_undo,
            "redo": self.review.can_redo,
        }


def _nearest(frames: tuple[int, ...], frame: Any) -> int:
    """The frame the page is at if it changed, else the nearest that did."""
    here = frame if isinstance(frame, int) else frames[0]
    return min(frames, key=lambda other: abs(other - here))


def _revision(fields: Mapping[str, Any]) -> int | None:
    revision = fields.get("revision")
    return revision if isinstance(revision, int) else None
