from __future__ import annotations

import numpy as np
import pytest

from bitpick.engines.pytorch import arrays


class Tensor:
    """What of a tensor is asked for."""

    def __init__(self, *values):
        self.values = np.array(values)

    def numpy(self):
        return self.values


@pytest.mark.parametrize("several", [tuple, list])
def test_one_tensor_and_several_are_arrays_in_their_order(several):
    (alone,) = arrays(Tensor(1.5, 2.0))
    assert alone.tolist() == [1.5, 2]
    first, second = arrays(several([Tensor(3.0), Tensor(1, 2)]))
    assert (first.tolist(), second.tolist()) == ([3], [1, 2])
    assert {each.dtype for each in (alone, first, second)} == {np.dtype(np.float32)}
