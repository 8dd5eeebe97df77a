from __future__ import annotations

import numpy as np
import pytest

from bitpick.errors import EngineError
from bitpick.measures.threads import check

X = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)


def test_roundings_that_turn_are_no_difference():
    other = X.copy()
    other[::3] += 0.02
    check((X, np.zeros_like(X)), (other, np.zeros_like(X)), 2, ["y", "z"])


@pytest.mark.parametrize("other", [-X, X * 1e6, np.zeros_like(X)])
def test_another_answer_on_more_threads_is_refused(other):
    with pytest.raises(EngineError, match="different answers on one thread and on 4: z differs by"):
        check((X, X), (X, other), 4, ["y", "z"])
