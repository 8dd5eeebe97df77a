from __future__ import annotations

import numpy as np
import pytest

from bitpick.tasks.classification import Classification
from bitpick.tasks.regression import Regression


def test_values_differ_where_they_noticeably_do():
    first = np.array([[1.0, 100.0]] * 4)
    second = first + np.array([[0, 0], [0, 0.5], [0, 2], [0.5, 0]])
    assert Regression().differing(first, second).tolist() == [False, False, True, True]


@pytest.mark.parametrize(("task", "margin"), [(Classification(classes=("a", "b")), "1%"), (Regression(), "5%")])
def test_what_is_left_to_the_task(task, margin):
    assert task.default_margin == margin
    assert not task.against_float
    assert task.margin_base is None
    assert not task.unsettled
