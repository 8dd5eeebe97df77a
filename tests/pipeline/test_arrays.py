from __future__ import annotations

from zipfile import BadZipFile

import numpy as np
import pytest

from bitpick.pipeline.arrays import read_array, read_outputs, save

LARGE = np.arange(400_000, dtype=np.float32).reshape(-1, 4)


def mapped(array) -> bool:
    return isinstance(array.base, np.memmap)


def test_arrays_come_back_as_they_were(tmp_path):
    mixed = np.zeros(3, [("scores", "<f4", (2,)), ("places", "<i8")])
    arrays = {"predictions": np.array([3, 1], np.int32), "output0": LARGE, "output1": LARGE.T, "words": np.array("é")}
    save(tmp_path / "a.npz", arrays | {"mixed": mixed, "none": np.zeros((0, 4), np.float32)})
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        for name in file.files:
            found = read_array(tmp_path / "a.npz", name)
            assert found.dtype == file[name].dtype
            assert np.array_equal(found, file[name])
    assert [each.shape for each in read_outputs(tmp_path / "a.npz")] == [(100_000, 4), (4, 100_000)]
    assert not list(tmp_path.glob("partial-*"))


def test_a_large_array_is_mapped_and_aligned(tmp_path):
    for name in ("a", "ab", "abc", "output0"):
        save(tmp_path / f"{name}.npz", {"first": np.arange(5, dtype=np.uint8), name: LARGE, "next": LARGE})
        for each in (name, "next"):
            found = read_array(tmp_path / f"{name}.npz", each)
            assert mapped(found)
            assert found.flags.aligned
    assert not mapped(read_array(tmp_path / "a.npz", "first"))


def test_what_numpy_wrote_is_read_too(tmp_path):
    np.savez(tmp_path / "plain.npz", output0=LARGE, output1=LARGE.astype(np.float64))
    np.savez_compressed(tmp_path / "small.npz", output0=LARGE)
    assert np.array_equal(read_outputs(tmp_path / "plain.npz")[1], LARGE)
    assert np.array_equal(read_array(tmp_path / "small.npz", "output0"), LARGE)


def test_half_a_file_is_refused(tmp_path):
    save(tmp_path / "a.npz", {"output0": LARGE})
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:1000])
    with pytest.raises(BadZipFile):
        read_array(tmp_path / "a.npz", "output0")
