"""How much a project may hold. Files beyond are refused in a sentence, not read."""

LONGEST_VALUE = 2**28
"""Bytes of one value in a project file, for instance the tensors of an adapted model."""

MAX_EVENTS = 100_000
"""Actions in a project's log; its log is read whole, and takes about 1 kB of memory for each."""

MAX_FRAMES = 2**23
"""Frames of a video, 38 hours at 60 a second."""

MAX_VIDEOS, MAX_TRACKS = 1_000, 10_000
MAX_KEYPOINTS = 1_000
MAX_SIDE = 2**17
"""Pixels of a picture's longer side."""

MAX_PLACE = 2.0**20
"""Pixels from the origin that a keypoint may lie."""

MAX_NAME = 1_000
"""Letters of a name: of a project, an author, a keypoint."""

MAX_PATH = 4_096

MAX_FOREIGN = 2**30
"""Bytes of a project file that comes from elsewhere."""
