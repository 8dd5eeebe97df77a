from __future__ import annotations

import numpy as np

from bitpick.evidence import Unoptimized
from bitpick.measures.optimization import unoptimized
from bitpick.measures.tasks.classification import Classification

TASK = Classification(classes=("a", "b", "c", "d"))
TARGETS = np.array([0, 1, 2, 3])


def test_predictions_that_agree_are_nothing_to_tell():
    assert unoptimized(TASK, np.array([0, 1, 1, 1]), np.array([0, 1, 1, 1]), TARGETS) is None


def test_predictions_that_differ_are_counted_both_ways():
    found = unoptimized(TASK, np.array([0, 1, 2, 0]), np.array([1, 1, 1, 0]), TARGETS)
    assert found == Unoptimized(samples=4, correct=1, correct_optimized=3, flips=2)
