from __future__ import annotations

import numpy as np
import pytest

from bitpick.datasets.dataset import Samples
from bitpick.engines.batches import calibration_batches, pieces


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
