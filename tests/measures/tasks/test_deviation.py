from __future__ import annotations

import numpy as np
import pytest

from bitpick.measures.fidelity import decibels
from bitpick.measures.tasks.deviation import Deviation
from bitpick.measures.tasks.parts import packed

TASK = Deviation(outputs=("scores", "boxes"))


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
    assert -20 * np.log10(value) == pytest.approx(decibels(floats[0], found[0]))


def test_a_margin_is_a_share_of_what_the_float_model_gives():
    assert (TASK.margin_base, TASK.default_margin, TASK.against_float) == (1, "5%", True)
    floats = answers((0, 0))
    assert TASK.score(floats, answers((0.03, 0.03)), floats, 0.05) > 10
    assert TASK.score(floats, answers((0.07, 0.03)), floats, 0.05) < -3


def test_an_output_that_is_always_nothing():
    nothing = np.zeros((50, 3), np.float32)
    task = Deviation(outputs=("off",))
    assert task.metric(nothing, nothing).value == 0
