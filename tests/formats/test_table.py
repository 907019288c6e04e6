"""The table holds every keypoint once, by name, and reads back as the same poses."""

import json

import numpy as np
import pandas as pd
import pytest

from diffpose.errors import FormatError
from diffpose.formats.table import COLUMNS, read_csv, read_parquet, write_csv, write_parquet
from diffpose.poses import Origin
from diffpose.skeleton import COCO17, HALPE26, SKELETONS, Skeleton
from tests.formats.made_poses import PROVENANCE, sequence, video

PAIR = Skeleton("pair", ("head", "left_hip"), (("head", "left_hip"),), (0.1, 0.2))


def assert_same(read, written):
    assert [s.track_id for s in read] == [s.track_id for s in written]
    for a, b in zip(read, written, strict=True):
        np.testing.assert_array_equal(a.frames, b.frames)
        np.testing.assert_array_equal(a.keypoints, b.keypoints)
        np.testing.assert_array_equal(a.confidence, b.confidence)
        np.testing.assert_array_equal(a.origin, b.origin)
        # The table has standard deviations; their squares lose the last float32 digit.
        np.testing.assert_allclose(a.covariance, b.covariance, rtol=1e-6)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_reading_gives_back_what_was_written(tmp_path, skeleton):
    rng = np.random.default_rng(1)
    people = [
        sequence(
            track_id, frames, skeleton, origin=rng.integers(0, 3, (len(frames), len(skeleton)))
        )
        for track_id, frames in ((0, [0, 1, 5]), (7, [3]))
    ]

    write_csv(tmp_path / "t.csv", people, video(6))
    read = read_csv(tmp_path / "t.csv")

    assert_same(read, people)
    assert {s.skeleton.name for s in read} == {skeleton.name}


def test_unknown_values_are_empty_cells(tmp_path):
    person = sequence(
        0, [0], PAIR, keypoints=[[[np.nan, np.nan], [3.5, 4]]], confidence=[[0.1, np.nan]],
        covariance=[[np.full((2, 2), np.nan), [[9, 1], [1, 4]]]],
        origin=np.array([[Origin.PREDICTED, Origin.CORRECTED]]),
    )  # fmt: skip

    write_csv(tmp_path / "t.csv", [person], video(1))

    assert (tmp_path / "t.csv").read_text().splitlines() == [
        ",".join(COLUMNS),
        "0,0,0.0,head,,,0.1,,,,,predicted",
        "0,0,0.0,left_hip,3.5,4.0,,3.0,2.0,1.0,2.5495098,corrected",
    ]
    assert_same(read_csv(tmp_path / "t.csv", skeleton=PAIR), [person])


def test_times_are_the_videos_own(tmp_path):
    write_csv(tmp_path / "t.csv", [sequence(0, [2, 4], PAIR)], video(5))

    table = pd.read_csv(tmp_path / "t.csv", float_precision="round_trip")

    assert table["time_s"].tolist() == np.repeat(video(5).times_s[[2, 4]], 2).tolist()


def test_the_order_of_rows_and_columns_does_not_matter(tmp_path):
    people = [sequence(0, [0, 1], COCO17), sequence(2, [1], COCO17)]
    write_csv(tmp_path / "t.csv", people, video(2))
    table = pd.read_csv(tmp_path / "t.csv", float_precision="round_trip")

    shuffled = table.sample(frac=1, random_state=3)[table.columns[::-1]]
    shuffled.to_csv(tmp_path / "t.csv", index=False)

    assert_same(read_csv(tmp_path / "t.csv"), people)


def test_a_removed_row_is_an_unknown_keypoint(tmp_path):
    write_csv(tmp_path / "t.csv", [sequence(0, [0, 1], PAIR)], video(2))
    pd.read_csv(tmp_path / "t.csv").drop(index=2).to_csv(tmp_path / "t.csv", index=False)

    (read,) = read_csv(tmp_path / "t.csv", skeleton=PAIR)

    assert np.isnan(read.keypoints[1, 0]).all()
    assert np.isfinite(read.keypoints[1, 1]).all()


def test_nobody_is_a_table_without_rows(tmp_path):
    write_csv(tmp_path / "t.csv", [sequence(0, [])], video(2))

    assert (tmp_path / "t.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert read_csv(tmp_path / "t.csv") == []


def test_what_made_the_table_lies_beside_it(tmp_path):
    write_csv(tmp_path / "t.csv", [sequence(0, [0])], video(1), PROVENANCE)

    content = json.loads((tmp_path / "t.csv.provenance.json").read_text("utf-8"))
    assert content["num_hypotheses"] == PROVENANCE.num_hypotheses
    assert content["file"] == "t.csv"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="sigma_x"), "no column sigma_x"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "two rows"),
        (lambda t: t.replace({"keypoint": {"nose": "snout"}}), "no known skeleton"),
        (lambda t: t.replace({"origin": {"predicted": "guessed"}}), "origin of predicted"),
        (lambda t: t.astype({"frame": float}).replace({"frame": {1.0: 1.5}}), "whole numbers"),
        (lambda t: t.astype({"x": object}).assign(x="left"), "no number"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(tmp_path, change, words):
    write_csv(tmp_path / "t.csv", [sequence(0, [0, 1])], video(2))
    change(pd.read_csv(tmp_path / "t.csv")).to_csv(tmp_path / "t.csv", index=False)

    with pytest.raises(FormatError, match=words):
        read_csv(tmp_path / "t.csv")


def test_keypoints_of_another_skeleton_are_named(tmp_path):
    write_csv(tmp_path / "t.csv", [sequence(0, [0], HALPE26)], video(1))

    with pytest.raises(FormatError, match="left_big_toe"):
        read_csv(tmp_path / "t.csv", skeleton=COCO17)


def test_an_empty_and_a_missing_file_are_format_errors(tmp_path):
    (tmp_path / "t.csv").touch()

    with pytest.raises(FormatError, match="no table"):
        read_csv(tmp_path / "t.csv")
    with pytest.raises(FormatError, match="check the name"):
        read_csv(tmp_path / "none.csv")


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_parquet_gives_back_what_was_written(tmp_path, skeleton):
    rng = np.random.default_rng(1)
    origin = rng.choice(list(Origin), (3, len(skeleton)))
    keypoints = rng.uniform(0, 480, (3, len(skeleton), 2))
    keypoints[1, 0] = np.nan
    people = [
        sequence(0, [0, 1, 5], skeleton, origin=origin, keypoints=keypoints),
        sequence(7, [3], skeleton),
    ]

    write_parquet(tmp_path / "t.parquet", people, video(6), PROVENANCE)

    assert_same(read_parquet(tmp_path / "t.parquet"), people)


def test_parquet_is_typed_and_knows_what_made_it(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_parquet(tmp_path / "t.parquet", [sequence(0, [0, 1])], video(6), PROVENANCE)

    table = parquet.read_table(tmp_path / "t.parquet")

    assert table.column_names == list(COLUMNS)
    assert str(table.schema.field("x").type) == "float"
    assert "dictionary" in str(table.schema.field("keypoint").type)
    about = json.loads(table.schema.metadata[b"diffpose"])
    assert about["weights"] == PROVENANCE.weights
    assert table["time_s"].to_pylist()[-1] == video(6).times_s[1]


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"no table")

    with pytest.raises(FormatError, match="no Parquet"):
        read_parquet(tmp_path / "t.parquet")
    with pytest.raises(FormatError, match="no such file"):
        read_parquet(tmp_path / "none.parquet")
