from __future__ import annotations

import numpy as np
import pytest

from bitpick.statistics.channels import channels, dead_channels

RNG = np.random.default_rng(0)


def boxes_and_scores(count=200, places=6):
    """Four values from 0 to 640, then three from 0 to 1, at each of some places: shape (count, places, 7)."""
    return np.concatenate([640 * RNG.random((count, places, 4)), RNG.random((count, places, 3))], axis=2)


def deviations(expected, found):
    known = channels(expected)
    values = known.deviations(known.terms(expected, found).mean(axis=0)[None])[0]
    return {tuple(members.tolist()): value for members, value in zip(known.groups, values, strict=True)}


def test_channels_are_on_the_axis_whose_scales_differ_most_and_else_on_the_last():
    boxes = boxes_and_scores()
    assert channels(boxes).axis == 2
    assert channels(boxes.swapaxes(1, 2)).axis == 1
    assert channels(RNG.normal(size=(100, 5, 8, 8))).axis == 3
    assert channels(RNG.normal(size=(100, 1, 8, 1))).axis == 2
    assert (channels(RNG.normal(size=100)).axis, channels(RNG.normal(size=(100, 1))).axis) == (0, 0)


@pytest.mark.parametrize("turn", [lambda a: a, lambda a: a.swapaxes(1, 2)])
def test_each_channel_is_held_against_its_own_scale(turn):
    expected = boxes_and_scores()
    found = expected.copy()
    found[..., 5] = 0  # every score of one class
    found[..., 0] += 3.2
    values = deviations(turn(expected), turn(found))
    assert values[(5,)] == pytest.approx(1)
    assert values[(0,)] == pytest.approx(3.2 / np.sqrt(np.square(expected[..., 0]).mean()))
    assert values[(1,)] == values[(6,)] == 0


def test_the_deviation_of_a_channel_by_hand():
    expected = np.array([[3.0, 100.0], [-3.0, 0.0]])
    found = np.array([[3.0, 100.0], [0.0, 0.0]])
    # √((0² + 3²) / (3² + 3²)) = √½
    assert deviations(expected, found) == {(0,): pytest.approx(np.sqrt(0.5)), (1,): 0}


def test_what_a_channel_without_signal_differs_by_is_held_against_the_strongest():
    expected = np.stack([RNG.normal(size=500), np.zeros(500), 1e-6 * RNG.normal(size=500), np.full(500, 7.0)], axis=1)
    found = expected + 0.001
    known = channels(expected)
    assert known.signal.tolist() == [True, False, False, False]
    values = deviations(expected, found)
    assert max(values.values()) == pytest.approx(0.001, rel=0.1)
    assert dead_channels(expected, np.stack([expected[:, 0], *np.zeros((3, 500))], axis=1)) == []


def test_a_class_that_never_occurs_does_not_condemn_a_build_and_one_that_does_is_not_hidden():
    scores = RNG.random((1000, 4)) * [1.0, 0.9, 0.3, 0.001]
    rounded = np.round(scores * 255) / 255
    assert max(deviations(scores, rounded).values()) < 0.01
    assert dead_channels(scores, rounded) == []
    without = rounded * [1, 1, 0, 1]
    assert deviations(scores, without)[(2,)] == pytest.approx(1, abs=0.01)
    assert dead_channels(scores, without) == [2]


def test_an_output_that_is_always_nothing():
    nothing = np.zeros((50, 3))
    assert set(deviations(nothing, nothing).values()) == {0}
    assert max(deviations(nothing, nothing + 0.25).values()) == 0.25
    assert dead_channels(nothing, nothing) == []


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_many_channels_are_measured_with_those_of_like_scale(scale):
    expected = RNG.normal(size=(300, 1000)) * np.where(np.arange(1000) % 2, 1, 0.001) * scale
    known = channels(expected)
    assert len(known.groups) < 12
    assert sorted(np.concatenate(known.groups)) == list(range(1000))
    for members in known.groups:
        scales = expected[:, members].std(axis=0)
        assert scales.max() < 2.5 * scales.min()
    found = expected.copy()
    found[:, ::2] = 0  # all that is small
    assert max(deviations(expected, found).values()) == pytest.approx(1)
    assert dead_channels(expected, found) == list(range(0, 1000, 2))


def test_the_memory_of_terms_does_not_grow_with_the_channels():
    expected = RNG.normal(size=(20, 5000)).astype(np.float32)
    assert channels(expected).terms(expected, expected).shape[1] < 40


@pytest.mark.parametrize("stuck", [0.0, 0.37])
def test_a_channel_that_is_constant_is_dead(stuck):
    expected = RNG.random((300, 3))
    found = expected.copy()
    found[:, 1] = stuck
    assert dead_channels(expected, found) == [1]
    found[:2, 1] = 0.9  # saturated for nearly all
    assert dead_channels(expected, found) == [1]
    assert dead_channels(expected, expected) == []


def test_a_score_that_is_0_for_most_samples_lives_as_long_as_it_fires_where_the_float_model_does():
    rare = np.where(np.arange(5000) % 250 == 0, 0.9, 1e-5 * RNG.random(5000))
    found = np.round(rare * 255) / 255
    both = np.stack([rare, RNG.random(5000)], axis=1)
    assert dead_channels(both, np.stack([found, both[:, 1]], axis=1)) == []
    assert dead_channels(both, np.stack([np.zeros(5000), both[:, 1]], axis=1)) == [0]


def test_one_sample_that_changes_kills_no_channel():
    expected = np.zeros((500, 1))
    expected[3] = 1
    assert dead_channels(expected, np.zeros((500, 1))) == []


def test_a_single_output_without_channels_can_die():
    assert dead_channels(RNG.normal(size=100), np.zeros(100)) == [0]
    assert dead_channels(RNG.normal(size=(100, 1, 1)), np.zeros((100, 1, 1))) == [0]
