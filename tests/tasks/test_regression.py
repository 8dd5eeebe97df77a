from __future__ import annotations

import numpy as np
import pytest

from bitpick.tasks.regression import Regression


def test_the_metric_and_the_others_in_the_unit():
    rng = np.random.default_rng(0)
    answers, targets = rng.normal(size=(100, 1)).astype(np.float32), rng.normal(size=100)
    task = Regression(judged_by="rmse", unit="°C")
    assert task.answers((), (answers,), targets) is answers
    found = task.metric(answers, targets)
    assert (found.label, found.unit, found.shown()) == ("RMSE", "°C", f"{found.value:.4g} °C")
    others = {metric.name: metric for metric in task.metrics(answers, (), targets)}
    assert {name: metric.unit for name, metric in others.items()} == {"mae": "°C", "r2": ""}
    assert others["mae"].interval[0] < others["mae"].value < others["mae"].interval[1]


def test_an_r2_of_targets_that_are_all_alike_is_left_out():
    answers = np.random.default_rng(0).normal(size=(50, 1))
    assert [metric.name for metric in Regression().metrics(answers, (), np.ones(50))] == ["rmse"]
    alike = np.broadcast_to(np.arange(3.0), (50, 3))  # each value is the same for all samples
    assert [metric.name for metric in Regression().metrics(alike + answers, (), alike)] == ["rmse"]


@pytest.mark.parametrize(("metric", "margin"), [("mae", "5%"), ("rmse", "5%"), ("r2", "1%")])
def test_the_margin_of_an_error_is_a_larger_share(metric, margin):
    assert Regression(judged_by=metric).default_margin == margin
