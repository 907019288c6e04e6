"""Mutated files are read, or refused in one sentence: nothing raw, nothing hangs, little memory."""

import json
import os
import subprocess
import sys

import pytest

from diffpose.errors import DiffPoseError, FormatError
from diffpose.formats.boxes import read_boxes
from diffpose.formats.coco import read_coco_keypoints
from diffpose.formats.coco_poses import read_coco_poses
from diffpose.formats.coco_results import read_coco_results
from diffpose.formats.common import read_json
from diffpose.formats.detections import read_detections
from diffpose.formats.foreign import adopt
from diffpose.formats.importing import import_poses
from diffpose.formats.native import read_native
from diffpose.formats.posetrack import read_posetrack
from diffpose.kinematics.compare import compare, offset_by_correlation, repeatability
from diffpose.kinematics.records import Measurements
from diffpose.kinematics.table import to_csv, trends_to_csv
from diffpose.kinematics.trends import DatedSession, find_trends
from diffpose.skeleton import COCO17
from tests.hostile import imports, json_files, running

VIDEO = json_files.VIDEO


def measured(path):
    """What the app does with a file of measurements."""
    session = DatedSession.from_dict(read_json(path), file_name="2026-01-01.json")
    found, own = session.measurements, json_files.measurements()
    json.dumps(found.to_dict(), allow_nan=False).encode()
    to_csv(found)
    repeatability(found)
    for use in (
        lambda: compare(own, found).to_dict(),
        lambda: offset_by_correlation(own, found, name="left_knee"),
        lambda: trends_to_csv(find_trends([session, DatedSession(session.date, "own", own)])),
    ):
        try:
            use()
        except DiffPoseError:
            continue


def posetrack(path):
    read_posetrack(path)


def detected(path):
    source = path.with_name("posetrack-source.json")
    source.write_text(json.dumps(json_files._posetrack()))
    read_detections(path, [read_posetrack(source)])


def adopted(path):
    adopt(read_coco_poses(path, VIDEO), VIDEO, COCO17)


READERS = {
    "native": (read_native, lambda path: import_poses(path, info=VIDEO)),
    "coco": (read_coco_keypoints, adopted),
    "results": (lambda path: read_coco_results(path, ["picture1.jpg"]),),
    "measurements": (measured,),
    "posetrack": (posetrack,),
    "posetrack17": (posetrack,),
    "boxes": (lambda path: read_boxes(path, VIDEO),),
    "detections": (detected,),
}


@pytest.mark.parametrize("kind", READERS)
def test_mutated_json_is_read_or_refused_in_one_sentence(tmp_path, kind):
    content = json_files.whole_files(tmp_path)[kind]
    path = tmp_path / f"{kind}.json"
    broken = {}
    for seed in running.seeds(20):
        path.write_bytes(json_files.mutated(content, seed))
        for number, read in enumerate(READERS[kind]):
            if words := running.obeys(read, path):
                broken[seed, number] = words

    assert broken == {}


@pytest.mark.parametrize("kind", READERS)
def test_the_whole_file_is_read(tmp_path, kind):
    """So that the law above is not kept by refusing everything."""
    path = tmp_path / f"{kind}.json"
    path.write_text(json.dumps(json_files.whole_files(tmp_path)[kind]))

    for read in READERS[kind]:
        read(path)


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'["\\ud800"]',
        b"[1e999]",
        b"[" + b"9" * 5_000 + b"]",
        b"\xff\xfe[]",
        b"",
    ],
)
@pytest.mark.parametrize("kind", READERS)
def test_json_that_is_no_file_of_ours_is_refused(tmp_path, kind, text):
    path = tmp_path / "x.json"
    path.write_bytes(text)

    for read in READERS[kind]:
        with pytest.raises(FormatError):
            read(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["curves"][0]["values"].pop(), "differ in length"),
        (lambda c: c["curves"][0]["times_s"].reverse(), "do not increase"),
        (lambda c: c["events"][0].update(kind=[]), "events"),
        (lambda c: c["events"][0].update(kind="a\nb"), "control character"),
        (lambda c: c["quantities"][0].update(value=1e300), "quantities"),
        (lambda c: c.update(settings={"a": json.loads("[" * 60 + "]" * 60)}), "nested"),
        (lambda c: c.update(notes="x"), "notes"),
        (lambda c: c.update(version=[2]), "version"),
    ],
)
def test_measurements_say_which_place_is_wrong(change, words):
    content = json_files.measurements().to_dict()
    change(content)

    with pytest.raises(FormatError, match=words):
        Measurements.from_dict(content)


TEXTS = ("csv", "dlc")
BINARIES = ("h5", "table", "sleap", "parquet")


@pytest.mark.parametrize("kind", [*TEXTS, *BINARIES])
def test_mutated_files_of_other_programs_are_read_or_refused(tmp_path, kind):
    whole = imports.whole_files(tmp_path)[kind]
    import_poses(whole, info=VIDEO)
    content = whole.read_bytes()
    path = tmp_path / f"mutated{whole.suffix}"
    broken = {}
    for seed in running.seeds(20 if kind in TEXTS else 2):
        path.write_bytes(imports.mutated(content, kind, seed))
        if words := running.obeys(lambda file: import_poses(file, info=VIDEO), path):
            broken[seed] = words

    assert broken == {}


def test_mutated_videos_are_read_or_refused_within_limits(tmp_path):
    """In a process of their own, which is ended if it hangs and may use a gigabyte."""
    count = str(len(running.seeds(21)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.video_worker", str(tmp_path), count],
        capture_output=True, text=True, env=environment, timeout=60 + 10 * int(count),
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
