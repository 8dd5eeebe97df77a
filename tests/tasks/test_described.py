from __future__ import annotations

from bitpick.tasks import described
from bitpick.tasks.anomaly import Anomaly
from bitpick.tasks.classification import Classification
from bitpick.tasks.deviation import Deviation
from bitpick.tasks.multilabel import MultiLabel
from bitpick.tasks.reconstruction import Reconstruction
from bitpick.tasks.registry import METRICS
from bitpick.tasks.regression import Regression

TASKS = (
    Classification(classes=("a", "b")), Classification(kind="agreement", classes=("a", "b")), Anomaly(),
    Reconstruction(), MultiLabel(classes=("a",)), Regression(), Deviation(outputs=("out",)),
)  # fmt: skip


def test_what_is_said_of_tasks_is_what_they_are():
    said = {each.kind: each for each in described.tasks()}
    assert set(said) == set(METRICS)
    measures = {each.measure.name: each.measure for each in described.metrics()}
    for task in TASKS:
        assert said[task.kind].margin == task.default_margin
        assert task.measure == measures[task.measure.name]


def test_every_metric_is_described_once():
    names = [each.measure.name for each in described.metrics()]
    assert sorted(names) == sorted({name for each in METRICS.values() for name in each})
