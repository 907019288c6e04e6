"""Laws of sentences: names from files are shown as text, and no failure is a traceback."""

import pytest

from app import telling
from app.failures import words_of
from app.measure.telling import told
from app.telling import failure, warn
from diffpose.errors import InputError

NAME = '<img src=x onerror="alert(1)">'


def test_a_name_in_a_toast_is_text(monkeypatch):
    shown: list[str] = []
    monkeypatch.setattr(telling.gr, "Warning", shown.append)

    def fail():
        raise InputError(f"The video of {NAME} is gone.")

    warn(NAME)
    told(fail, 1)

    assert len(shown) == 2
    assert not any("<" in words for words in shown)
    assert "<" not in failure(NAME).message


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_fault_of_ours_is_a_sentence_too(monkeypatch, outputs):
    shown: list[str] = []
    monkeypatch.setattr(telling.gr, "Warning", shown.append)

    told(lambda: 1 / 0, outputs)

    assert shown == ["Something went wrong inside DiffPose; its log has the details."]


def test_sentences_of_failures():
    assert words_of(InputError("No.")) == "No."
    assert words_of(OSError(28, "No space left on device")).endswith("(No space left on device).")
    assert words_of(KeyError("/srv/secret")).startswith("Something went wrong")
