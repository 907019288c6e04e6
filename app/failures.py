"""What a visitor reads when something has failed: always a sentence, never a traceback."""

from __future__ import annotations

import logging

from diffpose.errors import DiffPoseError

logger = logging.getLogger(__name__)


def words_of(error: Exception) -> str:
    """The sentence for an error; one that is a fault of this program goes to the log."""
    if isinstance(error, DiffPoseError):
        return str(error)
    if isinstance(error, OSError):
        return f"A file could not be read or written ({error.strerror})."
    logger.error("Something failed that should not.", exc_info=error)
    return "Something went wrong inside DiffPose; its log has the details."
