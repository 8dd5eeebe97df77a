from __future__ import annotations

import numpy as np
import pytest

from bitpick.datasets.activations import BATCH_BYTES, Activations
from bitpick.datasets.dataset import Samples
from bitpick.engines.batches import calibration_batches, calibration_size, join, pieces
from bitpick.errors import EngineError


@pytest.mark.parametrize(("count", "size"), [(103, None), (103, 1), (103, 8), (103, 64), (3, 8)])
def test_every_calibration_sample_is_seen_once_and_the_first_ones_fill_up(tmp_path, count, size):
    np.save(tmp_path / "x.npy", np.arange(count, dtype=np.float32)[:, None])
    samples = Samples(inputs=(tmp_path / "x.npy",), count=count, sha256="x")
    seen = [piece for batch in calibration_batches(samples, size) for piece in pieces(batch, size)]
    values = np.concatenate([piece[0][:, 0] for piece in seen])
    assert values[:count].tolist() == list(range(count))
    assert len(values) == (count if size is None else -(-count // size) * size)
    assert values[count:].tolist() == [i % count for i in range(len(values) - count)]
    assert {len(piece[0]) for piece in seen} == ({50, 3} if size is None else {size})


@pytest.mark.parametrize(
    ("fits", "size", "found"),
    [(100, None, 50), (49, None, 25), (24, None, 10), (1, None, 1), (24, 8, 24), (23, 8, 16), (1, 64, 64)],
)
def test_a_calibration_batch_is_the_largest_part_of_a_full_one_that_fits(tmp_path, fits, size, found):
    need = Activations(peak=BATCH_BYTES // fits, total=BATCH_BYTES)
    samples = Samples(inputs=(tmp_path / "x.npy",), count=103, sha256="x", activations=need)
    assert calibration_size(samples, size) == found
    assert calibration_size(samples, size, kept=True) == (size or 1)


def test_outputs_of_pieces_are_put_together_and_cut_to_the_samples():
    parts = [(np.full((2, 3), i), np.full(2, i)) for i in range(3)]
    matrix, row = join(parts, 5, 2)
    assert matrix.shape == (5, 3)
    assert row.tolist() == [0, 0, 1, 1, 2]
    assert row.dtype == np.float32


@pytest.mark.parametrize(("rows", "count", "size"), [(20, 3, 1), (1, 5, 2), (4, 5, None)])
def test_outputs_with_another_number_of_rows_than_samples_are_refused(rows, count, size):
    parts = [(np.zeros((size or count, 1)), np.zeros(rows))] * (1 if size is None else -(-count // size))
    with pytest.raises(EngineError, match=rf"output 2 has the shape \({rows},\) for {size or count} samples"):
        join(parts, count, size)


def test_outputs_of_other_sizes_from_sample_to_sample_are_refused():
    parts = [(np.zeros((1, 4)),), (np.zeros((1, 6)),)]
    with pytest.raises(EngineError, match=r"output 1 has the shape \(1, 4\) for some samples, and \(1, 6\) for others"):
        join(parts, 2, 1)
