"""Adapted tensors come into force with their predictions, and go with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from diffpose.errors import ProjectError
from diffpose.poses import PoseSequence, Provenance
from diffpose.review.models import AdaptedModel
from diffpose.review.session import ReviewSession


def take_up(
    session: ReviewSession,
    model: AdaptedModel,
    sequences: Iterable[PoseSequence],
    *,
    provenances: Mapping[int, Provenance],
) -> None:
    """Activate adapted tensors, and their predictions under the corrections, which stay.

    All of it is one transaction: the project never has the one without the other.
    """
    models = session.store.models
    with session.together():
        before = models.adapted()
        earlier = {t: session.store.prediction_revisions(t)[-1] for t in session.track_ids}
        if before is not None:
            earlier |= before.earlier  # the way back leads to the shipped model
        models.adapt(replace(model, earlier=earlier))
        for sequence in sequences:
            session.replace_predictions(sequence, provenance=provenances.get(sequence.track_id))


def return_to_shipped(session: ReviewSession) -> None:
    """Bring back the predictions from before adapting; what was corrected since stays.

    One transaction, as `take_up` is.

    Raises:
        ProjectError: Nothing was adapted.
    """
    store = session.store
    with session.together():
        model = store.models.adapted()
        if model is None:
            raise ProjectError("The project uses the model as it is shipped already.")
        store.models.use_shipped()
        for track_id, revision in model.earlier.items():
            made = store.provenance(track_id, revision)
            session.replace_predictions(store.predictions(track_id, revision), provenance=made)
