from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpick.statistics import wilson_interval
from bitpick.tasks.classification import Classification

TASK = Classification(classes=("a", "b", "c", "d"))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=200))
def test_accuracy_by_its_definition(pairs):
    predictions, targets = np.array(pairs).T
    found = TASK.accuracy(predictions, (np.eye(4, dtype=np.float32)[predictions],), targets)
    assert found.correct == sum(p == t for p, t in pairs)
    assert found.value == found.correct / len(pairs)
    assert found.interval == wilson_interval(found.correct, len(pairs))
    for i, name in enumerate("abcd"):
        mine = [p == t for p, t in pairs if t == i]
        assert found.per_class.get(name) == (pytest.approx(sum(mine) / len(mine)) if mine else None)


def test_top5_is_whether_the_class_is_among_the_five_best():
    task = Classification(classes=tuple("abcdefgh"))
    scores = np.tile(np.arange(8, dtype=np.float32), (4, 1))
    targets = np.array([7, 3, 2, 0])
    predicted = task.answers((), (scores,), None)
    assert predicted.tolist() == [7, 7, 7, 7]
    assert task.accuracy(predicted, (scores,), targets).top5 == 0.5


@pytest.mark.parametrize("shape", [(3, 1), (3,)])
def test_one_score_is_of_two_classes(shape):
    scores = np.array([0.2, 0.5, 0.9], np.float32).reshape(shape)
    assert Classification(classes=("no", "yes")).predicted(scores).tolist() == [0, 0, 1]


@pytest.mark.parametrize("shape", [(4, 6, 1, 1), (4, 1, 6), (4, 6, 1), (4, 6)])
def test_axes_of_size_1_change_nothing(shape):
    task = Classification(classes=tuple("abcdef"))
    scores = np.eye(6, dtype=np.float32)[[5, 0, 3, 1]]
    targets = np.array([5, 0, 3, 2])
    given_ = scores.reshape(shape)
    assert task.answers((), (given_,), None).tolist() == [5, 0, 3, 1]
    assert task.accuracy(task.answers((), (given_,), None), (given_,), targets).correct == 3
    np.testing.assert_array_equal(task.scores(given_), scores)


def test_what_is_lost_stays_within_what_can_be():
    """With 10 of 10 right a build cannot gain, and with none of 10 right it cannot lose."""
    right, wrong = np.arange(10) % 4, (np.arange(10) + 1) % 4
    assert TASK.versus(right, right, right).drop_interval[0] == 0
    assert TASK.versus(right, right, right).drop_interval[1] > 0.1
    assert TASK.versus(wrong, wrong, right).drop_interval[1] == 0
    assert TASK.versus(wrong, right, right).drop_interval[0] == -1


def test_the_number_of_a_class_is_its_own_prediction():
    task = Classification(classes=tuple("abcdef"), numbers=True)
    given_, targets = np.array([5, 0, 3, 9], np.float32), np.array([5, 0, 1, 2])
    predicted = task.answers((), (given_,), None)
    assert predicted.tolist() == [5, 0, 3, 9]
    assert task.accuracy(predicted, (given_,), targets).correct == 2
    assert task.accuracy(predicted, (given_,), targets).top5 is None
    assert task.scores(given_).sum(axis=1).tolist() == [1, 1, 1, 0]  # there is no class 9
    assert task.metrics(predicted, (given_,), targets) == []
