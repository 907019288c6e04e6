"""What made a project's poses: track by track, as its file says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from diffpose.poses import Provenance, SamplingConfig
from diffpose.review.store import Store

UNKNOWN = Provenance("unknown", "", 0, 0, 0)
"""Of poses of which nobody knows what made them."""


def sampling_of(store: Store, track_id: int) -> SamplingConfig:
    """The settings of the run that found a track's poses; the usual ones where not known."""
    made = store.provenance(track_id)
    if made is None:
        return SamplingConfig()
    return SamplingConfig(made.num_steps, made.num_hypotheses, made.seed)


def other_weights(store: Store, track_id: int, weights: str) -> tuple[str, ...]:
    """Hashes of the weights, other than the given ones, that a track's poses were found with.

    Poses whose weights are not known count as found with the given ones.
    """
    made = store.provenance(track_id)
    if made is None:
        return ()
    known = dict.fromkeys(_weights_in(asdict(made)))
    return tuple(other for other in known if other and other != weights)


def _weights_in(made: Mapping[str, Any]) -> Iterator[str]:
    """The weights of poses, and of the earlier runs that some of them are left from."""
    yield str(made.get("weights", ""))
    extra = made.get("extra")
    earlier = extra.get("earlier") if isinstance(extra, Mapping) else None
    for run in earlier if isinstance(earlier, list) else ():
        if isinstance(run, Mapping):
            yield from _weights_in(run)


def provenance_of(store: Store, track_ids: Iterable[int]) -> Provenance:
    """What made the poses of several tracks.

    Where the tracks differ, names are joined and numbers are 0; ``extra["tracks"]`` then says
    everything of each track.
    """
    made = {track_id: store.provenance(track_id) or UNKNOWN for track_id in track_ids}
    first, *others = made.values() if made else [UNKNOWN]
    if all(other == first for other in others):
        return first
    each = {str(track_id): asdict(one) for track_id, one in made.items()}
    common = {name: _common([one[name] for one in each.values()]) for name in _FIELDS}
    return replace(first, **common, extra={"tracks": each})


_FIELDS = ("model", "weights", "num_steps", "num_hypotheses", "seed")


def _common(values: list[Any]) -> Any:
    different = list(dict.fromkeys(values))
    if len(different) == 1:
        return different[0]
    return ", ".join(different) if isinstance(different[0], str) else 0
