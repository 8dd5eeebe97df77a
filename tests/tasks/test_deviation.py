from __future__ import annotations

import numpy as np
import pytest

from bitpick.measures.fidelity import decibels
from bitpick.tasks.deviation import Deviation
from bitpick.tasks.parts import packed

TASK = Deviation(outputs=("scores", "boxes"))


CHANNELS = Deviation(outputs=("detections",))


def outputs(noise, count=200):
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(count, 2)), 50 * rng.normal(size=(count, 3, 4))
    added = [each + share * each.std() * rng.normal(size=each.shape) for each, share in zip(whole, noise, strict=True)]
    return tuple(each.astype(np.float32) for each in added)


def answers(noise):
    return TASK.answers((), outputs(noise), None)


def test_the_output_that_deviates_most_counts_whatever_its_scale():
    floats = answers((0, 0))
    assert TASK.metric(answers((0.02, 0.06)), floats).value == pytest.approx(0.06, rel=0.05)
    assert TASK.metric(answers((0.10, 0.01)), floats).value == pytest.approx(0.10, rel=0.1)
    assert TASK.metric(floats, floats).value == 0


def test_it_is_the_signal_over_noise():
    floats, found = outputs((0, 0)), outputs((0.05, 0))
    value = TASK.metric(packed(found, TASK.outputs), packed(floats, TASK.outputs)).value
    worst = min(decibels(floats[0][:, place], found[0][:, place]) for place in range(2))
    assert -20 * np.log10(value) == pytest.approx(worst)


def test_a_margin_is_a_share_of_what_the_float_model_gives():
    assert (TASK.margin_base, TASK.default_margin, TASK.against_float) == (1, "5%", True)
    floats = answers((0, 0))
    assert TASK.score(floats, answers((0.03, 0.03)), floats, 0.05) > 10
    assert TASK.score(floats, answers((0.07, 0.03)), floats, 0.05) < -3


def test_an_output_that_is_always_nothing():
    nothing = np.zeros((50, 3), np.float32)
    task = Deviation(outputs=("off",))
    assert task.metric(nothing, nothing).value == 0


def test_the_worst_channel_counts_and_is_named():
    """Scores from 0 to 1 beside boxes from 0 to 640: a mean over both would hide that the scores are all 0."""
    rng = np.random.default_rng(0)
    floats = np.concatenate([640 * rng.random((300, 6, 4)), rng.random((300, 6, 3))], axis=2).astype(np.float32)
    found = floats.copy()
    found[..., 4:] = 0
    metric = CHANNELS.metric(found, floats)
    assert metric.value == pytest.approx(1)
    assert metric.of == "detections, channel 4 of 7 on axis 2"
    assert CHANNELS.score(floats, found, floats, 0.05) < 0
    found[..., 4:] = floats[..., 4:]
    found[..., 2] += 6.4
    metric = CHANNELS.metric(found, floats)
    assert metric.value == pytest.approx(6.4 / np.sqrt(np.square(floats[..., 2].astype(float)).mean()), rel=1e-5)
    assert metric.of == "detections, channel 2 of 7 on axis 2"


def test_each_channel_of_each_output_counts():
    floats, found = outputs((0, 0)), outputs((0, 0))
    found[1][:, 1, 2] = 0
    metric = TASK.metric(packed(found, TASK.outputs), packed(floats, TASK.outputs))
    assert metric.of == "boxes, channel 2 of 4 on axis 2"
    assert metric.value == pytest.approx(np.sqrt(1 / 3), rel=0.1)  # one of three boxes lost it


def test_an_error_does_not_fall_below_0():
    floats = answers((0, 0))
    low, high = TASK.versus(answers((1e-4, 1e-4)), answers((0.01, 0)), floats).drop_interval
    assert 0 < low < high
    low, high = TASK.versus(answers((0.01, 0)), floats, floats).drop_interval
    assert low == -TASK.metric(answers((0.01, 0)), floats).value
