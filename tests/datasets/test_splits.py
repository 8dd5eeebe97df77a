from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpick.datasets import splits
from bitpick.errors import DataError


@given(st.lists(st.integers(0, 4), min_size=5, max_size=300), st.floats(0.2, 0.8), st.integers(0, 99))
def test_no_sample_is_in_both_none_is_lost_and_each_class_has_its_share(classes, share, seed):
    labels = np.array(classes)
    first, second = splits.divide(labels, len(labels), share, seed)
    assert sorted([*first, *second]) == list(range(len(labels)))
    assert len(second) == round(len(labels) * share)
    assert list(first) == sorted(first)
    assert list(second) == sorted(second)
    for each in set(classes):
        assert abs((labels[second] == each).sum() - len(second) * classes.count(each) / len(labels)) < 1


@given(st.integers(2, 200), st.integers(0, 5))
def test_the_seed_decides(count, seed):
    one, again = (splits.divide(None, count, 0.5, seed) for _ in range(2))
    assert all((a == b).all() for a, b in zip(one, again, strict=True))


def test_without_a_share_most_are_evaluated_on():
    first, second = splits.divide(None, 100, None, 0)
    assert (len(first), len(second)) == (20, 80)
    assert "--split" in splits.division_note(None, 20, 80)
    assert "--split" not in splits.division_note(0.8, 20, 80)


@pytest.mark.parametrize(("count", "share"), [(1, 0.5), (0, None), (3, 0.01)])
def test_an_empty_set_is_refused(count, share):
    with pytest.raises(DataError, match="cannot be divided"):
        splits.divide(None, count, share, 0)


@pytest.mark.parametrize(
    ("names", "both"),
    [
        (["train", "test"], ("train", "test")),
        (["Train", "VAL"], ("Train", "VAL")),
        (["test", "train", "val"], ("train", "test")),
        (["calibration", "evaluation", "train"], ("calibration", "evaluation")),
        (["val", "test"], ("val", "test")),
        (["cats", "dogs"], None),
        (["train"], None),
        (["train", "dogs"], None),
    ],
)
def test_names_of_splits(names, both):
    assert splits.pair(names) == both
