"""Descriptions of tasks and metrics, for the tables of the docs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bitpick.schema.evidence import Measure
from bitpick.tasks.formulas import AUC, ERRORS, MACRO_AUC
from bitpick.tasks.multilabel import MultiLabel
from bitpick.tasks.registry import METRICS
from bitpick.tasks.segmentation import Segmentation

_WILSON = "E. B. Wilson, JASA 22 (1927), 209-212"
_BCA = "B. Efron, JASA 82 (1987), 171-185"
_TANGO = "Tango's; McNemar's mid-p"
_PAIRED = "BCa of the paired bootstrap"


@dataclass(frozen=True)
class DescribedTask:
    """A description of a task.

    Attributes:
        kind: its name.
        labels: the labels that it takes.
        output: the output that it takes.
        metrics: its metrics, the default first.
        margin: the default margin.
    """

    kind: str
    labels: str
    output: str
    metrics: tuple[str, ...]
    margin: str


@dataclass(frozen=True)
class DescribedMetric:
    """A description of a metric.

    Attributes:
        measure: the metric.
        definition: how it is computed.
        drop: the interval and the test of its drops.
        source: reference of the formula, or of its variance.
    """

    measure: Measure
    definition: str
    drop: str
    source: str


_LABELS_AND_OUTPUT = {
    "classification": ("class numbers, of shape (n,)", "a score for each class; or one for two classes"),
    "multilabel": ("0 or 1 for each label, of shape (n, labels)", "a score for each label"),
    "segmentation": ("a class for each position, or 0 and 1", "scores for each position"),
    "regression": ("numbers", "of the labels' shape"),
    "reconstruction": ("none", "the input again"),
    "anomaly": ("1 for an anomaly, 0 for a normal sample", "of the shape of an input"),
    "agreement": ("none", "a score for each class"),
    "deviation": ("none", "any, or several"),
}


def tasks() -> Iterator[DescribedTask]:
    """Yield every named task; a task with the user's metric can be any of these."""
    measures = {each.measure.name: each.measure for each in metrics()}
    for kind, names in METRICS.items():
        margin = "1%" if measures[names[0]].higher_is_better else "5%"
        yield DescribedTask(kind, *_LABELS_AND_OUTPUT[kind], names, margin)


def metrics() -> Iterator[DescribedMetric]:
    """Yield every metric that builds can be judged by, except the user's."""
    yield DescribedMetric(Measure(name="accuracy"), "share of samples whose best class is right", _TANGO, _WILSON)
    position_accuracy, iou = (Segmentation(judged_by=name).measure for name in ("position_accuracy", "iou"))
    yield DescribedMetric(position_accuracy, "share of positions, of all samples, whose class is right", _PAIRED, _BCA)
    definition = (
        "positions where both are of the class over those where either is; averaged over classes, or of the mask"
    )
    yield DescribedMetric(iou, definition, _PAIRED, _BCA)
    labels = MultiLabel(classes=()).formulas
    for formula in (*ERRORS.values(), AUC, MACRO_AUC, labels["macro_f1"], labels["exact_match"]):
        yield DescribedMetric(formula.measure, formula.definition, _PAIRED, formula.source or _BCA)
    definition = "share of samples with the best class that the float model gives"
    yield DescribedMetric(Measure(name="agreement"), definition, _TANGO, _WILSON)
    definition = "√(Σ (output - float model's)² / Σ (float model's)²), of the channel where it is largest"
    yield DescribedMetric(Measure(name="deviation", higher_is_better=False), definition, _PAIRED, _BCA)
