from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpick.data import sampling
from bitpick.errors import DataError


@given(st.lists(st.integers(0, 5), min_size=1, max_size=300), st.data())
def test_a_draw_has_each_class_its_share_and_no_repeats(classes, data):
    labels = np.array(classes)
    size = data.draw(st.integers(1, len(labels)))
    drawn = sampling.stratified(labels, size, seed=data.draw(st.integers(0, 2**32)))
    assert len(drawn) == len(set(drawn.tolist())) == size
    for c in set(classes):
        exact = size * classes.count(c) / len(classes)
        assert abs((labels[drawn] == c).sum() - exact) < 1


def test_the_seed_decides_the_draw():
    labels = np.arange(1000) % 10
    first, again, other = (sampling.stratified(labels, 100, seed) for seed in (0, 0, 1))
    assert (first == again).all()
    assert set(first) != set(other)


def test_the_draw_does_not_come_sorted_by_class():
    labels = np.repeat(np.arange(10), 100)
    assert len(set(labels[sampling.stratified(labels, 100, 0)[:20]])) > 2


def test_overlap_counts_images_of_the_evaluation_set(dataset):
    clean = sampling.draw(dataset, 40, 0)
    assert clean.overlap == 0
    images = np.array(dataset.calibration.inputs)
    images[clean.indices[:3]] = dataset.evaluation.inputs[:3]
    leaked = dataset.__class__(
        dataset.name,
        dataset.classes,
        calibration=dataset.calibration.__class__(
            images, dataset.calibration.labels, "x", dataset.calibration.inputs_path, dataset.calibration.labels_path
        ),
        evaluation=dataset.evaluation,
    )
    assert sampling.draw(leaked, 40, 0).overlap == 3


def test_a_draw_is_recorded(dataset):
    drawn = sampling.draw(dataset, 40, 0)
    counts = np.bincount(np.asarray(dataset.calibration.labels)[drawn.indices], minlength=4)
    assert drawn.per_class == dict(zip(dataset.classes, counts.tolist(), strict=True))
    assert drawn.sha256 == sampling.draw(dataset, 40, 0).sha256 != sampling.draw(dataset, 40, 1).sha256


def test_a_label_that_is_no_class_is_refused(dataset):
    dataset.calibration.labels[7] = 9
    with pytest.raises(DataError, match="has the label 9"):
        sampling.draw(dataset, 40, 0)


@pytest.mark.parametrize("size", [0, -1, 401])
def test_a_size_that_the_split_cannot_give_is_refused(dataset, size):
    with pytest.raises(DataError) as error:
        sampling.draw(dataset, size, 0)
    assert "--calibration-size from 1 to 400" in str(error.value)
