from __future__ import annotations

import numpy as np

from bitpick.measures.optimization import checked, unoptimized
from bitpick.schema.evidence import Unoptimized
from bitpick.tasks.classification import Classification

TASK = Classification(classes=("a", "b", "c", "d"))
TARGETS = np.array([0, 1, 2, 3])


def test_predictions_that_agree_are_told_with_the_number_of_samples():
    found = unoptimized(TASK, np.array([0, 1, 1, 1]), np.array([0, 1, 1, 1]), TARGETS)
    assert found == Unoptimized(samples=4, correct=2, correct_optimized=2, flips=0)


def test_predictions_that_differ_are_counted_both_ways():
    found = unoptimized(TASK, np.array([0, 1, 2, 0]), np.array([1, 1, 1, 0]), TARGETS)
    assert found == Unoptimized(samples=4, correct=1, correct_optimized=3, flips=2)


def test_a_small_part_of_the_evaluation_set_is_run_both_ways():
    assert [checked(count) for count in (10, 100, 1_000, 10_000, 1_000_000)] == [10, 16, 16, 166, 1_000]
