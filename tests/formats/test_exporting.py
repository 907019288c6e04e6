"""Laws that hold for every export format: all or nothing, every value's origin, bounded size."""

import json
import resource
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diffpose.errors import DiffPoseError, FormatError, InputError, SettingsError
from diffpose.formats.exporting import (
    EXPORT_FORMATS,
    ExportSettings,
    export_sequences,
    packages_missing_for,
    preview_export,
)
from diffpose.poses import Origin
from diffpose.skeleton import HALPE26
from tests.formats.made_poses import PROVENANCE, sequence, video

ALL = sorted(set(EXPORT_FORMATS) - {"overlay"})  # which needs a video: test_overlay.py
VIDEO = video(12)


def people():
    """Two tracks, one of them 0, with a gap, an unknown keypoint and every origin."""
    rng = np.random.default_rng(5)
    keypoints = rng.uniform(1, 470, (3, 26, 2))
    keypoints[1, 4] = np.nan
    origin = rng.choice(list(Origin), (3, 26))
    confidence = np.where(origin == Origin.CORRECTED, np.nan, rng.uniform(0.1, 1, (3, 26)))
    first = sequence(0, [0, 1, 6], keypoints=keypoints, origin=origin, confidence=confidence)
    return [first, sequence(7, [2])]


def names(folder):
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("name", ALL)
def test_an_export_writes_what_its_preview_says_and_nothing_else(tmp_path, name):
    path = tmp_path / f"out{EXPORT_FORMATS[name].suffix}"

    written = export_sequences(name, path, people(), VIDEO, PROVENANCE)

    assert [p.name for p in written] == list(preview_export(name, path, people(), VIDEO).files)
    assert names(tmp_path) == {p.name for p in written}


@pytest.mark.parametrize("name", [n for n in ALL if EXPORT_FORMATS[n].values_beside])
def test_the_table_beside_a_file_says_where_every_value_comes_from(tmp_path, name):
    path = tmp_path / f"out{EXPORT_FORMATS[name].suffix}"
    export_sequences(name, path, people(), VIDEO, PROVENANCE)

    table = pd.read_csv(path.with_name(f"{path.name}.values.csv"))

    found = table.set_index(["track_id", "frame", "keypoint"])["origin"]
    for person in people():
        for row, frame in enumerate(person.frames):
            for index, keypoint in enumerate(HALPE26.keypoints):
                wanted = Origin(int(person.origin[row, index])).name.lower()
                assert found[person.track_id, frame, keypoint] == wanted


@pytest.mark.parametrize("name", ALL)
def test_what_made_the_poses_is_in_the_file_or_beside_it(tmp_path, name):
    path = tmp_path / f"out{EXPORT_FORMATS[name].suffix}"

    written = export_sequences(name, path, people(), VIDEO, PROVENANCE)

    assert any(PROVENANCE.weights.encode() in p.read_bytes() for p in written)


def test_the_preview_counts_origins_and_unknown_keypoints():
    origin = np.zeros((2, 26), np.uint8)
    origin[0, :3], origin[1, 5] = Origin.CORRECTED, Origin.INTERPOLATED
    keypoints = np.ones((2, 26, 2))
    keypoints[0, 0] = np.nan
    person = sequence(0, [0, 1], origin=origin, keypoints=keypoints)

    preview = preview_export("coco-annotations", "x.json", [person], VIDEO)

    assert preview.num_poses == 2
    assert preview.num_unknown == 1
    assert preview.origins["corrected"] == 2
    assert preview.origins["interpolated"] == 1
    assert sum(preview.origins.values()) == 2 * 26 - 1


@pytest.mark.parametrize("name", ALL)
def test_a_disk_that_is_full_leaves_the_old_files_and_no_new_ones(tmp_path, name):
    path = tmp_path / f"out{EXPORT_FORMATS[name].suffix}"
    path.write_bytes(b"old")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))

    try:
        with pytest.raises(DiffPoseError, match="Cannot write"):
            export_sequences(name, path, people(), VIDEO, PROVENANCE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    assert names(tmp_path) == {path.name}
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("name", ALL)
def test_a_folder_that_may_not_be_written_to_is_said_plainly(tmp_path, name, monkeypatch):
    def refused(self, *args, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)

    with pytest.raises(InputError, match="Permission denied"):
        export_sequences(name, tmp_path / "out", people(), VIDEO, PROVENANCE)

    assert names(tmp_path) == set()


@pytest.mark.parametrize("name", ALL)
def test_a_file_grows_by_a_bounded_number_of_bytes_per_value(tmp_path, name):
    count = 60
    sizes = []
    for frames in (range(10), range(count)):
        folder = tmp_path / str(len(frames))
        folder.mkdir()
        written = export_sequences(
            name, folder / "out", [sequence(0, list(frames))], video(len(frames)), PROVENANCE
        )
        sizes.append(sum(p.stat().st_size for p in written))

    values = (count - 10) * len(HALPE26)
    assert (sizes[1] - sizes[0]) / values < 320


@pytest.mark.parametrize("name", sorted({*ALL} - {"trc", "mot", "c3d"}))
def test_nobody_is_written(tmp_path, name):
    export_sequences(name, tmp_path / "out", [], VIDEO, PROVENANCE)

    assert "out" in names(tmp_path)


@pytest.mark.parametrize("name", ["trc", "mot", "c3d"])
def test_nobody_is_refused_where_a_file_cannot_be_empty(tmp_path, name):
    with pytest.raises(FormatError, match="got none"):
        export_sequences(name, tmp_path / "out", [], VIDEO, PROVENANCE)

    assert names(tmp_path) == set()


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(SettingsError, match="posetrack18"):
        export_sequences("bvh", tmp_path / "out", people(), VIDEO, PROVENANCE)


@pytest.mark.parametrize("name", [n for n in ALL if EXPORT_FORMATS[n].packages])
def test_a_missing_package_is_named_before_anything_is_written(tmp_path, name, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)

    with pytest.raises(SettingsError, match=f"pip install {EXPORT_FORMATS[name].packages[0]}"):
        export_sequences(name, tmp_path / "out", people(), VIDEO, PROVENANCE)

    assert packages_missing_for(name) == EXPORT_FORMATS[name].packages
    assert names(tmp_path) == set()


def test_a_folder_that_is_not_there_and_a_folder_as_file_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        export_sequences("csv", tmp_path / "no" / "out.csv", people(), VIDEO, PROVENANCE)
    with pytest.raises(FormatError, match="got the folder"):
        export_sequences("csv", tmp_path, people(), VIDEO, PROVENANCE)


def test_an_infinite_keypoint_is_refused_in_every_format(tmp_path):
    keypoints = np.ones((1, 26, 2))
    keypoints[0, 0, 0] = np.inf

    with pytest.raises(FormatError, match="infinite"):
        export_sequences(
            "trc", tmp_path / "o.trc", [sequence(0, [0], keypoints=keypoints)], VIDEO, PROVENANCE
        )


def test_settings_reach_the_formats_that_have_room_for_them(tmp_path):
    settings = ExportSettings(metres_per_px=0.01, order=[(7, 2), (0, 0), (0, 1), (0, 6)])

    export_sequences("trc", tmp_path / "o.trc", people()[:1], VIDEO, PROVENANCE, settings=settings)
    export_sequences("coco", tmp_path / "o.json", people(), VIDEO, PROVENANCE, settings=settings)

    assert "\tm\t" in (tmp_path / "o.trc").read_text().splitlines()[2]
    assert [e["image_id"] for e in json.loads((tmp_path / "o.json").read_text())] == [2, 0, 1, 6]
