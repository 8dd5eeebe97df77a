from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax
from scipy.stats import entropy

from bitpick.measures.fidelity import fidelities, fidelity
from bitpick.tasks.classification import Classification
from bitpick.tasks.regression import Regression

logits = arrays(np.float32, (20, 4), elements=st.floats(-5, 5, width=32))


@given(logits, logits)
def test_the_divergence_is_scipys(first, second):
    found = fidelity(first - 10, second - 10)  # no probabilities
    expected = entropy(softmax(first.astype(float), axis=1), softmax(second.astype(float), axis=1), axis=1).mean()
    assert found.kl == pytest.approx(expected, abs=1e-4)
    assert found.agreement == ((first - 10).argmax(1) == (second - 10).argmax(1)).mean()


@given(logits)
def test_probabilities_are_taken_as_they_are(first):
    whole = softmax(first, axis=1)
    found = fidelity(whole, whole[:, ::-1])
    expected = entropy(whole.astype(float), whole[:, ::-1].astype(float), axis=1).mean()
    assert found.kl == pytest.approx(expected, abs=1e-3)


def test_the_same_scores_have_no_noise():
    scores = np.eye(3, dtype=np.float32)
    found = fidelity(scores, scores)
    assert (found.agreement, found.kl, found.sqnr_db) == (1.0, 0.0, None)


def test_signal_over_noise_by_hand():
    assert fidelity(np.float32([[3, 4]]), np.float32([[3, 4.5]])).sqnr_db == pytest.approx(20.0)


def test_a_probability_of_zero_makes_no_infinite_divergence():
    found = fidelity(np.float32([[0.5, 0.5]]), np.float32([[1, 0]]))
    assert 5 < found.kl < 10


def test_each_output_has_what_can_be_said_of_it():
    rng = np.random.default_rng(0)
    logits, values = rng.normal(size=(50, 4)).astype(np.float32), rng.normal(size=(50, 3)).astype(np.float32)
    shares = softmax(rng.normal(size=(50, 5)), axis=1).astype(np.float32)
    own, other = (logits, values, shares), (logits + 0.1, values * 1.1, shares[:, ::-1])
    found = fidelities(("class", "box", "other"), own, other, Classification(classes=tuple("abcd")))
    assert found["class"].agreement == 1
    assert (found["box"].agreement, found["box"].kl) == (None, None)
    assert found["box"].sqnr_db == pytest.approx(20, abs=0.01)
    assert found["other"].agreement < 0.5  # probabilities, though the task is not about them
    assert fidelities(("box",), own[1:2], own[1:2], Regression())["box"].sqnr_db is None


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_one_score_is_of_two_classes(threshold):
    logits = np.array([[-3.0], [0.1], [2.0]], np.float32)
    scores = logits if threshold == 0 else 1 / (1 + np.exp(-logits))
    task = Classification(classes=("no", "yes"), threshold=threshold)
    found = fidelities(("score",), (scores,), (scores - np.float32([[0], [0.2], [0]]),), task)["score"]
    assert found.agreement == pytest.approx(2 / 3)
    assert found.kl > 0
