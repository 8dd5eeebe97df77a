from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax
from scipy.stats import entropy

from bitpick.measures.fidelity import fidelity

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
