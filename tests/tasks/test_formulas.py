from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from bitpick.tasks.formulas import AUC, ERRORS, MACRO_AUC, f1_at, flat

few = settings(max_examples=25)


@few
@given(st.integers(0, 10_000), st.integers(3, 60), st.integers(1, 3))
def test_errors_by_their_definitions(seed, count, values):
    rng = np.random.default_rng(seed)
    answers, targets = rng.normal(size=(count, values)), rng.normal(size=(count, values))
    assert ERRORS["mae"].replicates(answers, targets).value == pytest.approx(
        sklearn.mean_absolute_error(targets, answers)
    )
    assert ERRORS["rmse"].replicates(answers, targets).value == pytest.approx(
        np.sqrt(sklearn.mean_squared_error(targets, answers))
    )
    assert ERRORS["r2"].replicates(answers, targets).value == pytest.approx(
        sklearn.r2_score(targets, answers, multioutput="variance_weighted" if values > 1 else "uniform_average")
    )


@few
@given(st.integers(0, 10_000), st.integers(1, 8))
def test_the_area_under_the_curve_with_ties(seed, steps):
    rng = np.random.default_rng(seed)
    targets = rng.permutation([0, 1] * 20)
    scores = np.round(rng.normal(size=40) + targets, 1) if steps > 4 else rng.integers(0, steps + 1, 40).astype(float)
    assert AUC.replicates(scores, targets).value == pytest.approx(sklearn.roc_auc_score(targets, scores))


def test_the_area_varies_as_delong_says():
    """Its variance is that of the placements of positives and of negatives, each over their number."""
    rng = np.random.default_rng(0)
    targets = rng.permutation([0] * 150 + [1] * 50)
    scores = rng.normal(size=200) + targets
    positive, negative = scores[targets == 1], scores[targets == 0]
    above = (positive[:, None] > negative).mean(axis=1)
    below = (positive[:, None] > negative).mean(axis=0)
    expected = np.sqrt(above.var(ddof=1) / 50 + below.var(ddof=1) / 150)
    assert AUC.replicates(scores, targets).drawn.std() == pytest.approx(expected, rel=0.06)


def test_a_label_that_never_occurs_is_left_out():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, (100, 3))
    targets[:, 1] = 0
    scores = rng.normal(size=(100, 3))
    expected = np.mean([sklearn.roc_auc_score(targets[:, i], scores[:, i]) for i in (0, 2)])
    found = MACRO_AUC.replicates(scores, targets)
    assert found.value == pytest.approx(expected)
    assert found.undefined == 0


def test_f1_of_a_label_that_is_neither_there_nor_predicted_is_left_out():
    answers, targets = np.array([[0.9, 0.1], [0.1, 0.1], [0.9, 0.1]]), np.array([[1, 0], [1, 0], [1, 0]])
    found = f1_at(0.5)(flat(answers), flat(targets))
    with np.errstate(invalid="ignore"):
        assert found.combined(found.columns.mean(axis=0)[None])[0] == pytest.approx(4 / 5)
