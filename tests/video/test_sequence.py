"""A folder seen as a video has the same pictures and times of its own."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from diffpose.errors import SettingsError
from diffpose.video.decode import Video
from diffpose.video.sequence import PictureSequence


def test_pictures_follow_each_other_in_natural_order(tmp_path: Path) -> None:
    for i in (1, 2, 10):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((8, 6, 3), 20 * i, np.uint8))

    with Video(tmp_path) as pictures:
        sequence = PictureSequence(pictures, fps=20)
        values = [int(picture[0, 0, 0]) for _, picture in sequence.frames()]

        assert values == [20, 40, 200]
        assert sequence.frame(1)[0, 0, 0] == 40
        assert sequence.info.times_s.tolist() == [0, 0.05, 0.1]
        assert sequence.info.names == ()
        assert sequence.info.size == (8, 6)
        with pytest.raises(SettingsError, match="above 0"):
            PictureSequence(pictures, fps=0)
