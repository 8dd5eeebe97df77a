from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bitpick.errors import DataError
from bitpick.statistics import (
    bootstrap,
    noninferiority_score,
    paired_bootstrap,
    tango_interval,
    wilson_interval,
)


def accuracy(outputs, targets):
    return (outputs == targets).mean()


def rmse(outputs, targets):
    return math.sqrt(((outputs - targets) ** 2).mean())


def macro_f1(outputs, targets):
    classes = range(4)
    scores = []
    for each in classes:
        hit = ((outputs == each) & (targets == each)).sum()
        total = (outputs == each).sum() + (targets == each).sum()
        scores.append(2 * hit / total if total else math.nan)
    return float(np.mean(scores))


def auc(outputs, targets):
    if targets.all() or not targets.any():
        return math.nan
    return stats.mannwhitneyu(outputs[targets == 1], outputs[targets == 0]).statistic / (
        targets.sum() * (1 - targets).sum()
    )


def calibration_error(outputs, targets):
    """Expected calibration error of probabilities of shape (n, classes), in ten bins."""
    sure, right = outputs.max(axis=1), outputs.argmax(axis=1) == targets
    bins = np.minimum((10 * sure).astype(int), 9)
    gaps = np.bincount(bins, right - sure, minlength=10)
    return float(np.abs(gaps).sum() / len(targets))


def regression(seed, n=120):
    rng = np.random.default_rng(seed)
    targets = rng.normal(0, 3, n)
    shared = rng.normal(0, 0.8, n)
    return targets + shared + rng.normal(0, 0.6, n), targets + shared + rng.normal(0, 0.9, n), targets


few = settings(max_examples=15)
FEWER = {"resamples": 200}


@pytest.mark.parametrize("metric", [rmse, lambda o, t: float(np.median(np.abs(o - t)))])
def test_the_interval_is_that_of_scipy(metric):
    first, second, targets = regression(1)

    def drop(places):
        return metric(second[places], targets[places]) - metric(first[places], targets[places])

    scipys = {"n_resamples": 4000, "vectorized": False, "method": "BCa", "rng": np.random.default_rng(5)}
    expected = stats.bootstrap((np.arange(len(targets)),), drop, **scipys).confidence_interval
    found = paired_bootstrap(metric, first, second, targets, higher_is_better=False, resamples=4000)
    np.testing.assert_allclose(found.interval, expected, atol=0.06 * (expected.high - expected.low))
    alone = bootstrap(metric, first, targets, resamples=4000)
    expected = stats.bootstrap((first, targets), metric, paired=True, **scipys).confidence_interval
    np.testing.assert_allclose(alone.interval, expected, atol=0.06 * (expected.high - expected.low))


def classified(seed, n=10_000, lost=0.016, won=0.012):
    """Predictions of two classifiers of which one loses 0.4 points against the other."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 4, n)
    fate = rng.random(n)
    wrong = (targets + 1) % 4
    first = np.where((fate < won) | (fate > 0.88), wrong, targets)
    second = np.where(((fate > 0.5) & (fate < 0.5 + lost)) | (fate > 0.88), wrong, targets)
    return first, second, targets


def test_an_accuracy_has_nearly_tangos_interval_and_test_and_wilsons():
    first, second, targets = classified(0)
    lost, won = (
        int(((first == targets) & (second != targets)).sum()),
        int(((first != targets) & (second == targets)).sum()),
    )
    found = paired_bootstrap(accuracy, first, second, targets, margin=0.006, resamples=4000)
    assert found.value == pytest.approx((lost - won) / 10_000)
    np.testing.assert_allclose(found.interval, tango_interval(lost, won, 10_000), atol=3e-4)
    assert found.p_value == pytest.approx(stats.norm.sf(noninferiority_score(lost, won, 10_000, 0.006)), abs=0.015)
    alone = bootstrap(accuracy, first, targets)
    np.testing.assert_allclose(alone.interval, wilson_interval(int((first == targets).sum()), 10_000), atol=5e-4)
    assert alone.p_value is None


@pytest.mark.parametrize("metric", [accuracy, macro_f1])
def test_metrics_of_classes(metric):
    first, second, targets = classified(1, 2000)
    found = paired_bootstrap(metric, first, second, targets, **FEWER)
    assert found.interval[0] < found.value < found.interval[1]
    assert found.undefined == 0


def test_outputs_can_be_scores_for_each_class():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 4, 800)
    logits = rng.normal(0, 1, (800, 4)) + 2 * np.eye(4)[targets]
    first, second = (
        np.exp(s * logits) / np.exp(s * logits).sum(axis=1, keepdims=True) for s in (2.0, 1.0)
    )  # the first is calibrated
    found = paired_bootstrap(calibration_error, first, second, targets, higher_is_better=False, **FEWER)
    assert found.value == calibration_error(second, targets) - calibration_error(first, targets) > 0
    low, high = bootstrap(calibration_error, first, targets, **FEWER).interval
    assert low < high


@few
@given(st.integers(0, 1000), st.booleans())
def test_exchanged_models_turn_the_interval(seed, higher):
    first, second, targets = regression(seed, 60)
    one = paired_bootstrap(rmse, first, second, targets, higher_is_better=higher, **FEWER)
    other = paired_bootstrap(rmse, second, first, targets, higher_is_better=higher, **FEWER)
    turned = paired_bootstrap(rmse, first, second, targets, higher_is_better=not higher, **FEWER)
    assert one.value == pytest.approx(-other.value)
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]), abs=1e-9)
    assert turned.interval == pytest.approx(other.interval, abs=1e-9)


@few
@given(st.integers(0, 1000), st.floats(-100, 100), st.floats(0.01, 100))
def test_a_shift_of_everything_changes_nothing_and_a_scale_scales(seed, shift, scale):
    first, second, targets = regression(seed, 60)
    before = paired_bootstrap(rmse, first, second, targets, **FEWER)
    moved = paired_bootstrap(rmse, first + shift, second + shift, targets + shift, **FEWER)
    assert moved.interval == pytest.approx(before.interval, abs=1e-6)
    scaled = paired_bootstrap(rmse, scale * first, scale * second, scale * targets, **FEWER)
    assert scaled.interval == pytest.approx(tuple(scale * b for b in before.interval), rel=1e-6, abs=1e-9)


@few
@given(st.integers(0, 1000))
def test_pairs_are_kept(seed):
    """A model beside itself loses nothing in any resample, whatever the metric's own variance."""
    first, _, targets = regression(seed, 60)
    found = paired_bootstrap(rmse, first, first, targets, margin=0.01, **FEWER)
    assert (found.value, found.interval) == (0, (0, 0))
    assert found.p_value == pytest.approx(1 / 201, rel=0.4)  # 60 samples are not as sure as 200 resamples would be
    shifted = paired_bootstrap(lambda o, t: (o - t).mean(), first + 1, first, targets, **FEWER)
    assert shifted.interval == pytest.approx((1, 1))


@few
@given(st.integers(0, 1000))
def test_the_order_of_samples_is_noise(seed):
    first, second, targets = regression(seed, 100)
    order = np.random.default_rng(seed).permutation(100)
    one = paired_bootstrap(rmse, first, second, targets, resamples=1000)
    other = paired_bootstrap(rmse, first[order], second[order], targets[order], resamples=1000)
    assert one.value == pytest.approx(other.value)
    assert one.interval == pytest.approx(other.interval, abs=0.2 * (one.interval[1] - one.interval[0]))


@few
@given(st.integers(0, 1000), st.floats(0.05, 0.4))
def test_the_test_and_the_one_sided_bound_say_the_same(seed, alpha):
    first, second, targets = regression(seed)
    bound = paired_bootstrap(rmse, first, second, targets, level=1 - 2 * alpha, higher_is_better=False).interval[1]

    def p_value(margin):
        return paired_bootstrap(rmse, first, second, targets, margin=margin, higher_is_better=False).p_value

    assert p_value(bound) == pytest.approx(alpha, abs=0.005)
    assert p_value(bound + 0.1) < p_value(bound) < p_value(bound - 0.1)


def test_a_seed_decides_it():
    data = regression(3)
    first, again, other = (paired_bootstrap(rmse, *data, seed=seed, **FEWER) for seed in (1, 1, 2))
    assert first == again != other


def test_an_undefined_resample_is_left_out_of_the_interval_and_counts_against_the_claim():
    rng = np.random.default_rng(0)
    targets = np.zeros(300, int)
    targets[:4] = 1  # none of them in about 2% of resamples
    first = rng.normal(0, 1, 300) + 2 * targets
    found = paired_bootstrap(auc, first, first, targets, margin=0.01, resamples=1000)
    assert 0 < found.undefined < 50
    assert found.interval == (0, 0)
    assert found.p_value > found.undefined / 1001


@pytest.mark.parametrize(
    ("positives", "says"), [(1, "undefined on .* of 200 resamples"), (0, "the metric is nan on the 300 samples")]
)
def test_a_metric_that_is_seldom_defined_is_refused(positives, says):
    targets = np.zeros(300, int)
    targets[:positives] = 1
    scores = np.random.default_rng(0).normal(0, 1, 300)
    with pytest.raises(DataError, match=says):
        paired_bootstrap(auc, scores, scores, targets, **FEWER)


def test_arrays_of_other_samples_are_refused():
    with pytest.raises(DataError, match="arrays with 2, 3 samples"):
        paired_bootstrap(accuracy, np.zeros(3), np.zeros(2), np.zeros(3))
    with pytest.raises(DataError, match="at least one"):
        bootstrap(accuracy, np.zeros(0), np.zeros(0))


def test_one_sample():
    assert bootstrap(accuracy, np.zeros(1), np.zeros(1), **FEWER).interval == (1, 1)


def test_the_interval_holds_the_drop_and_the_margin_is_seldom_missed():
    """300 data sets of 150 samples on which the other model's error is 0.2 larger: 95% and 5%, within their error."""
    rng = np.random.default_rng(0)
    covered = claimed = 0
    for seed in range(300):
        targets = np.zeros(150)
        shared = rng.normal(0, 1, (2, 150))
        found = paired_bootstrap(
            rmse, shared[0], 0.8 * 1.2 * shared[0] + 0.6 * 1.2 * shared[1], targets,
            higher_is_better=False, margin=0.2, resamples=400, seed=seed,
        )  # fmt: skip
        covered += found.interval[0] <= 0.2 <= found.interval[1]
        claimed += found.p_value <= 0.05
    error = math.sqrt(0.05 * 0.95 / 300)
    assert covered / 300 >= 0.95 - 2.6 * error
    assert claimed / 300 <= 0.05 + 2.6 * error
