"""The exceptions DiffPose raises on purpose; everything else is a bug.

DiffPoseError                 one sentence: expected, got, what to do
|-- InputError                something the user gave
|   |-- VideoError            a file that is no readable video or image
|   |-- BoxError              a person box outside the picture, empty or not finite
|   |-- FormatError           a pose, box or annotation file of another shape
|   |-- SettingsError         an option out of range, an unknown key in a config
|   `-- CorrectionError       a correction that names no keypoint or place of its track
|-- ProjectError              a project file that is damaged, newer, gone, read-only or full
|   `-- StaleRevisionError    somebody else has changed the same pose meanwhile
|-- WeightsError              weights damaged, of another version or another skeleton
|-- NoPersonError             nobody was found where somebody was asked for
`-- CancelledError            the user stopped the work; what is finished is kept
"""


class DiffPoseError(Exception):
    """Base of all errors whose message is meant for the user."""


class InputError(DiffPoseError, ValueError):
    """The user's input cannot be used as it is."""


class VideoError(InputError):
    """A file that holds no readable picture."""


class BoxError(InputError):
    """A person box that does not describe a part of the picture."""


class FormatError(InputError):
    """A file whose content does not follow its format."""


class SettingsError(InputError):
    """An option or a config value out of its range."""


class CorrectionError(InputError):
    """A correction that names no keypoint, frame or place of its track."""


class ProjectError(DiffPoseError):
    """A project file that cannot be read or written; what was acknowledged is still in it."""


class StaleRevisionError(ProjectError):
    """Somebody has changed the same pose since the caller looked; nothing was written.

    Attributes:
        revision: The project's revision now.
    """

    def __init__(self, message: str, *, revision: int) -> None:
        super().__init__(message)
        self.revision = revision


class WeightsError(DiffPoseError):
    """Weights that are damaged or belong to another model or skeleton."""


class NoPersonError(DiffPoseError):
    """The detector found nobody in the chosen frames."""


class CancelledError(DiffPoseError):
    """Work stopped on request; finished windows are kept."""


def said(error: BaseException) -> str:
    """What a library says of a failure, as a part of one sentence of ours."""
    return " ".join(f"{error}".split())[:300] or type(error).__name__
