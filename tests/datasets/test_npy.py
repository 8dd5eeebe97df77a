from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bitpick.datasets import npy
from bitpick.errors import DataError

NUMBERS = st.sampled_from([np.uint8, np.int64, np.float32, np.bool_])


@given(NUMBERS.flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(max_dims=3))), st.integers(1, 4))
def test_what_comes_in_batches_is_what_numpy_reads(array, step):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npy"
        with npy.Writer(path) as writer:
            for start in range(0, len(array), step):
                writer.append(array[start : start + step])
        np.testing.assert_array_equal(np.load(path), array)
        assert np.load(path).dtype == array.dtype
        np.testing.assert_array_equal(npy.mapped(path), array)


def test_many_rows_have_a_longer_number_in_the_same_header(tmp_path):
    with npy.Writer(tmp_path / "a.npy") as writer:
        writer.append(np.zeros((1, 2), np.uint8))
        for _ in range(100):
            writer.append(np.ones((1000, 2), np.uint8))
    found = np.load(tmp_path / "a.npy")
    assert found.shape == (100_001, 2)
    assert found.sum() == 200_000


def test_rows_of_another_shape_are_refused(tmp_path):
    with npy.Writer(tmp_path / "a.npy") as writer:
        writer.append(np.zeros((2, 3), np.uint8))
        with pytest.raises(DataError, match=r"sample 2 of a has shape \(4,\), but those before it have \(3,\)"):
            writer.append(np.zeros((1, 4), np.uint8))


@pytest.mark.parametrize("array", [np.array([object()]), np.array(["a"])], ids=["objects", "words"])
def test_what_is_no_array_of_numbers_is_refused_unread(tmp_path, array):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=r"Python objects, which can run code|which is no number"):
        npy.mapped(tmp_path / "a.npy")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY\x01\x00\x10\x00{'descr': "])
def test_what_is_no_npy_file(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npy is no \.npy array"):
        npy.mapped(tmp_path / "a.npy")


def test_half_a_file(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.arange(1000))
    (tmp_path / "a.npy").write_bytes(buffer.getvalue()[:2000])
    with pytest.raises(DataError, match="is damaged"):
        npy.mapped(tmp_path / "a.npy")


def test_rows_are_copied_in_the_order_of_their_places(tmp_path):
    array = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    np.save(tmp_path / "a.npy", array)
    places = np.array([7, 3, 3, 49])
    npy.copy_rows(tmp_path / "a.npy", places, tmp_path / "b.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), array[places])


def test_digests_tell_shape_dtype_and_numbers_apart(tmp_path):
    arrays_ = [np.zeros(6, np.uint8), np.zeros((2, 3), np.uint8), np.zeros(6, np.int8), np.ones(6, np.uint8)]
    digests = set()
    for number, array in enumerate(arrays_):
        np.save(tmp_path / f"{number}.npy", array)
        digests.add(npy.sha256([tmp_path / f"{number}.npy"]))
    assert len(digests) == 4
