"""What is claimed of resampled metrics, simulated."""

from __future__ import annotations

import time

import numpy as np
import pytest

from bitpick.statistics import max_t
from bitpick.tasks import resampled
from bitpick.tasks.anomaly import Anomaly
from bitpick.tasks.regression import Regression

MAE, RMSE, AUC = Regression(), Regression(judged_by="rmse"), Anomaly()


def errors(rng, scales, count=200, shared=0.7):
    """Errors of models on the same samples, correlated, the first one the float32; targets are 0."""
    common = rng.normal(size=count)
    return [scale * (shared * common + np.sqrt(1 - shared**2) * rng.normal(size=count)) for scale in scales]


def separated(rng, distances, count=300):
    """Errors of autoencoders on the same samples, of which a fifth is abnormal, by so many standard deviations."""
    labels = (np.arange(count) < count // 5).astype(int)
    common = rng.normal(size=count)
    scores = [np.exp(0.8 * common + 0.6 * rng.normal(size=count) + each * labels) for each in distances]
    return labels, [np.stack([np.sqrt(score), score], axis=1) for score in scores]


def test_a_drop_is_worse_however_the_metric_goes():
    rng = np.random.default_rng(0)
    own, other = errors(rng, (1, 1.5))
    zeros = np.zeros(200)
    lost = MAE.versus(own, other, zeros)
    assert lost.drop == pytest.approx(np.abs(other).mean() - np.abs(own).mean())
    assert lost.drop == pytest.approx(MAE.drop(own, other, zeros))
    assert lost.drop_interval[0] > 0
    assert lost.p_value < 0.01
    assert MAE.losses(own, other, zeros).mean() == pytest.approx(lost.drop)
    assert RMSE.losses(own, other, zeros) is None
    labels, (better, worse) = separated(rng, (2, 1))
    assert AUC.versus(better, worse, labels).drop > 0
    assert AUC.drop(worse, better, labels) == -AUC.drop(better, worse, labels)


def test_a_model_beside_itself_loses_nothing():
    own = np.random.default_rng(0).normal(size=100)
    found = MAE.versus(own, own, np.zeros(100))
    assert (found.drop, found.drop_interval, found.p_value) == (0, (0, 0), 1)
    assert MAE.score(own, own, np.zeros(100), 0.01) == 38
    assert np.isfinite(MAE.spread([(own, own), (own, own + 1)], np.zeros(100))).all()


def test_a_row_is_resampled_once(monkeypatch):
    resampled._REPLICATES.clear()
    calls = []
    real = Regression.replicates
    monkeypatch.setattr(Regression, "replicates", lambda *a: calls.append(1) or real(*a))
    own, other = errors(np.random.default_rng(0), (1, 1.1))
    for _ in range(3):
        MAE.versus(own, other, np.zeros(200))
        MAE.score(own, other, np.zeros(200), 0.1)
        MAE.spread([(own, other)], np.zeros(200))
    assert len(calls) == 2
    MAE.metric(own, np.ones(200))
    assert len(calls) == 3


def test_a_float32_is_not_resampled_again_for_the_last_of_many_builds(monkeypatch):
    resampled._REPLICATES.clear()
    monkeypatch.setattr(resampled, "_KEPT", 3)
    calls = []
    real = Regression.replicates
    monkeypatch.setattr(Regression, "replicates", lambda *a: calls.append(1) or real(*a))
    own, *others = errors(np.random.default_rng(0), (1, *[1.1] * 5))
    for other in others:
        MAE.versus(own, other, np.zeros(200))
    assert len(calls) == 6


@pytest.mark.parametrize("task", [MAE, RMSE])
def test_drops_of_errors_are_covered(task):
    """600 data sets; the true drop of both metrics is that of the scale."""
    rng = np.random.default_rng(1)
    true = 0.2 * (np.sqrt(2 / np.pi) if task is MAE else 1)
    covered = 0
    for _ in range(600):
        own, other = errors(rng, (1, 1.2))
        low, high = task.versus(own, other, np.zeros(200)).drop_interval
        covered += low <= true <= high
    assert covered / 600 >= 0.93


def test_areas_and_their_drops_are_covered():
    from scipy.stats import norm

    rng = np.random.default_rng(2)
    true = norm.cdf(np.array([1.5, 1.2]) / np.sqrt(2))
    covered = np.zeros(2)
    for _ in range(600):
        labels, (own, other) = separated(rng, (1.5, 1.2))
        low, high = AUC.metric(own, labels).interval
        covered[0] += low <= true[0] <= high
        low, high = AUC.versus(own, other, labels).drop_interval
        covered[1] += low <= true[0] - true[1] <= high
    assert (covered / 600 >= 0.93).all(), covered / 600


@pytest.mark.parametrize("task", [MAE, AUC])
def test_claims_of_many_builds_at_once_are_seldom_wrong(task):
    """300 data sets of eight builds that all lose the margin: one is claimed to lose less at most 5% of the time."""
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(300):
        if task is MAE:
            targets, margin = np.zeros(200), 0.2 * np.sqrt(2 / np.pi)
            own, *others = errors(rng, (1, *[1.2] * 8))
        else:
            from scipy.stats import norm

            targets, (own, *others) = separated(rng, (1.5, *[1.2] * 8))
            margin = float(norm.cdf(1.5 / np.sqrt(2)) - norm.cdf(1.2 / np.sqrt(2)))
        pairs = [(own, other) for other in others]
        scores = [task.score(*pair, targets, margin) for pair in pairs]
        correlation = np.corrcoef(task.spread(pairs, targets), rowvar=False)
        wrong += min(max_t(scores, correlation, draws=2000)) <= 0.05
    assert wrong / 300 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300), wrong / 300


def test_fifteen_rows_of_ten_thousand_samples_take_seconds():
    rng = np.random.default_rng(0)
    own, *others = errors(rng, (1, *np.linspace(1, 1.1, 15)), count=10_000)
    zeros = np.zeros(10_000)
    began = time.perf_counter()
    for other in others:
        MAE.metric(other, zeros)
        MAE.versus(own, other, zeros)
        MAE.score(own, other, zeros, 0.01)
    MAE.spread([(own, other) for other in others], zeros)
    assert time.perf_counter() - began < 30
