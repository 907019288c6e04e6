"""HDF5 tables: pandas' two layouts with equal values; nothing in a file runs or leads elsewhere."""

import contextlib
import pickle
import warnings

import h5py
import numpy as np
import pandas as pd
import pytest

from diffpose.errors import FormatError
from diffpose.formats.deeplabcut import H5_KEY, read_deeplabcut, write_deeplabcut_h5
from diffpose.formats.hdf import read_pandas
from diffpose.formats.importing import import_poses
from diffpose.formats.sleap import read_sleap, write_sleap
from tests.formats.made_poses import PROVENANCE, sequence, video

VIDEO = video(9)
LAYOUTS = ("fixed", "table")


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def frame(*, people=("one", "two"), rows=None):
    levels = [["net"], list(people), ["nose", "left_knee"], ["x", "y", "likelihood"]]
    names = ["scorer", "individuals", "bodyparts", "coords"]
    if not people:
        levels, names = [levels[0], *levels[2:]], [names[0], *names[2:]]
    columns = pd.MultiIndex.from_product(levels, names=names)
    values = np.random.default_rng(0).uniform(1, 400, (5, len(columns)))
    values[2, 1] = np.nan
    return pd.DataFrame(values, columns=columns, index=rows)


def stored(path, table, layout="fixed", key=H5_KEY, mode="w"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table.to_hdf(path, key=key, mode=mode, format=layout)
    return path


PICTURES = [f"labeled-data/run/img{number:03d}.png" for number in range(5)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("people", [(), ("one", "two")])
@pytest.mark.parametrize("rows", [None, PICTURES])
@pytest.mark.parametrize("mixed", [False, True])
def test_a_table_reads_as_pandas_reads_it(tmp_path, layout, people, rows, mixed):
    table = frame(people=people, rows=rows)
    if mixed:  # columns of several types lie in several blocks
        table = table.astype({table.columns[1]: "float32", table.columns[3]: "float32"})
    path = stored(tmp_path / "t.h5", table, layout)

    found = read_pandas(str(path), H5_KEY)

    wanted = pd.read_hdf(path)
    assert [tuple(column) for column in found["columns"]] == list(wanted.columns)
    labels = found["index"]
    assert [x[0] if rows else x for x in labels] == list(wanted.index)
    np.testing.assert_array_equal(found["values"], wanted.to_numpy(np.float64))


def test_rows_of_several_labels_are_read(tmp_path):
    rows = pd.MultiIndex.from_tuples([tuple(name.split("/")) for name in PICTURES])
    path = stored(tmp_path / "CollectedData_me.h5", frame(people=(), rows=rows))

    read = read_deeplabcut(path)

    assert read.sequences[0].frames.tolist() == [0, 1, 2, 3, 4]
    assert read.num_frames is None


def test_of_several_tables_deeplabcuts_own_is_taken(tmp_path):
    path = stored(tmp_path / "t.h5", frame(people=()), key="other")
    stored(path, frame(people=()) + 1, mode="a")

    (one,) = read_deeplabcut(path).sequences

    np.testing.assert_allclose(one.keypoints[0, 0], (frame(people=()) + 1).iloc[0, :2], rtol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("where", ["group", "array"])
def test_a_pickle_in_an_attribute_is_never_run(tmp_path, layout, where):
    path = stored(tmp_path / "t.h5", frame(), layout)
    ran = tmp_path / "ran"
    attack = pickle.dumps(Payload(ran), protocol=0)
    with h5py.File(path, "a") as file:
        group = file[H5_KEY]
        inside = group["table" if layout == "table" else "axis1"]
        for name in list((group if where == "group" else inside).attrs):
            if name not in ("pandas_type", "CLASS", "VERSION", "transposed"):
                (group if where == "group" else inside).attrs[name] = np.bytes_(attack)

    with contextlib.suppress(FormatError):
        read_deeplabcut(path)

    assert not ran.exists()


def test_the_attack_works_on_pandas_own_reader(tmp_path):
    """So that the test above can fail."""
    path = stored(tmp_path / "t.h5", frame(), "table")
    with h5py.File(path, "a") as file:
        attack = pickle.dumps(Payload(tmp_path / "ran"), protocol=0)
        file[H5_KEY].attrs["non_index_axes"] = np.bytes_(attack)

    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pd.read_hdf(path)

    assert (tmp_path / "ran").exists()


def test_objects_in_a_table_are_refused(tmp_path):
    table = frame(people=())
    path = stored(tmp_path / "t.h5", table)
    with h5py.File(path, "a") as file:
        del file[H5_KEY]["axis1"]
        bytes_of_any_length = h5py.special_dtype(vlen=np.uint8)
        file[H5_KEY].create_dataset("axis1", (5,), dtype=bytes_of_any_length)

    with pytest.raises(FormatError, match="holds objects"):
        read_deeplabcut(path)


def elsewhere(file, name, secret, kind):
    """Put a data set of the same name that takes its content from another file."""
    old = file[name]
    shape, dtype = old.shape, old.dtype
    del file[name]
    if kind == "link":
        file[name] = h5py.ExternalLink(str(secret), "values")
    elif kind == "storage":
        file.create_dataset(name, shape, dtype, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
    else:
        layout = h5py.VirtualLayout(shape, dtype)
        layout[...] = h5py.VirtualSource(str(secret), "values", shape)
        file.create_virtual_dataset(name, layout)


@pytest.mark.parametrize("kind", ["link", "storage", "virtual"])
@pytest.mark.parametrize("program", ["dlc", "sleap"])
def test_a_file_that_shows_another_file_is_refused(tmp_path, kind, program):
    secret = tmp_path / "secret.h5"
    if program == "dlc":
        path = stored(tmp_path / "t.h5", frame())
        name = f"{H5_KEY}/block0_values"
    else:
        path = tmp_path / "t.slp"
        write_sleap(path, [sequence(0, [1, 2])], VIDEO, PROVENANCE)
        name = "pred_points"
    with h5py.File(path) as file, h5py.File(secret, "w") as other:
        other["values"] = file[name][()]
    with h5py.File(path, "a") as file:
        elsewhere(file, name, secret, kind)

    with pytest.raises(FormatError, match=r"another file|in the file itself"):
        (read_deeplabcut if program == "dlc" else read_sleap)(path)


def test_a_data_set_of_billions_is_refused_unread(tmp_path):
    path = stored(tmp_path / "t.h5", frame())
    with h5py.File(path, "a") as file:
        del file[H5_KEY]["block0_values"]
        file[H5_KEY].create_dataset(
            "block0_values", (2**40, 12), "f8", chunks=(1024, 12), compression="gzip"
        )

    with pytest.raises(FormatError, match="larger than 256 MB"):
        read_deeplabcut(path)


def test_an_own_file_is_imported_without_pandas_reader(tmp_path, monkeypatch):
    path = tmp_path / "p.h5"
    write_deeplabcut_h5(path, [sequence(0, [1, 2, 6])], VIDEO, PROVENANCE)
    monkeypatch.setattr(pd, "read_hdf", None)

    assert import_poses(path, info=VIDEO).poses.sequences[0].frames.tolist() == [1, 2, 6]
