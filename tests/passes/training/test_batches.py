from __future__ import annotations

import numpy as np
import pytest

from bitpick.datasets.dataset import Samples
from bitpick.passes.training.batches import Augmentation, Batches, are_pictures, held_out


@pytest.fixture
def samples(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(100 * 4, dtype=np.float32).reshape(100, 4))
    return Samples(inputs=(tmp_path / "x.npy",), count=100, sha256="0")


def test_an_epoch_has_every_sample_once_in_an_order_of_its_own(samples):
    batches = Batches(samples, np.arange(10, 100), size=30, seed=0)
    epochs = [list(batches.epoch(number)) for number in (1, 2, 1)]
    orders = [np.concatenate([places for places, _ in epoch]) for epoch in epochs]
    assert len(batches) == 3
    assert all(sorted(order) == list(range(10, 100)) for order in orders)
    assert orders[0].tolist() == orders[2].tolist() != orders[1].tolist()
    for places, (inputs,) in epochs[0]:
        assert inputs[:, 0].tolist() == (places * 4).tolist()


def test_an_incomplete_batch_is_left_out_unless_it_is_the_only_one(samples):
    assert [len(places) for places, _ in Batches(samples, np.arange(50), 20, 0).epoch(0)] == [20, 20]
    assert [len(places) for places, _ in Batches(samples, np.arange(15), 20, 0).epoch(0)] == [15]


def test_pictures_are_moved_and_turned_in_either_layout():
    picture = np.zeros((1, 16, 16, 3), np.float32)
    picture[0, 8, 4] = (1, 2, 3)
    many = picture.repeat(400, 0)
    changed = Augmentation(flip=True, shift=2).apply(many, np.random.default_rng(0))
    places = {tuple(np.argwhere(each[..., 0])[0]) for each in changed}
    assert places == {(row, column) for row in range(6, 11) for column in (*range(2, 7), *range(9, 14))}
    assert np.unique(changed[changed.any(axis=3)], axis=0).tolist() == [[1, 2, 3]]
    channels_first = Augmentation(flip=True, shift=2).apply(many.transpose(0, 3, 1, 2), np.random.default_rng(0))
    np.testing.assert_array_equal(channels_first.transpose(0, 2, 3, 1), changed)
    np.testing.assert_array_equal(Augmentation().apply(many, np.random.default_rng(0)), many)


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([(32, 32, 3)], True),
        ([(1, 28, 28)], True),
        ([(49, 10, 1)], False),
        ([(32, 32, 5)], False),
        ([(64,)], False),
        ([(32, 32, 3), (4,)], False),
    ],
)
def test_what_a_picture_is(shapes, expected):
    assert are_pictures(shapes) == expected


@pytest.mark.parametrize(("count", "held"), [(10, 1), (1000, 50), (100_000, 2000)])
def test_some_samples_are_held_out(count, held):
    trained, kept = held_out(np.arange(count), 0)
    assert len(kept) == held
    assert sorted([*trained, *kept]) == list(range(count))
