"""Tasks and metrics in words, for people who choose among them."""

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
    """A task.

    Attributes:
        kind: its name.
        labels: what labels it takes.
        output: what output of the model.
        metrics: what it can be judged by, the default first.
        margin: the largest drop that does no harm, where the user says none.
    """

    kind: str
    labels: str
    output: str
    metrics: tuple[str, ...]
    margin: str


@dataclass(frozen=True)
class DescribedMetric:
    """A metric.

    Attributes:
        measure: what it is.
        says: how it is computed.
        drop: what is shown of drops, and how.
        source: of the formula, or of how it varies.
    """

    measure: Measure
    says: str
    drop: str
    source: str


_ENDS = {
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
    """Every task with a name; one with a metric of the user's own is any of these."""
    found = {each.measure.name: each.measure for each in metrics()}
    for kind, names in METRICS.items():
        margin = "1%" if found[names[0]].higher_is_better else "5%"
        yield DescribedTask(kind, *_ENDS[kind], names, margin)


def metrics() -> Iterator[DescribedMetric]:
    """Every metric that builds can be judged by, but those of the user's own."""
    yield DescribedMetric(Measure(name="accuracy"), "share of samples whose best class is right", _TANGO, _WILSON)
    right, overlap = (Segmentation(judged_by=name).measure for name in ("position_accuracy", "iou"))
    yield DescribedMetric(right, "share of positions, of all samples, whose class is right", _PAIRED, _BCA)
    says = "positions where both are of the class over those where either is; averaged over classes, or of the mask"
    yield DescribedMetric(overlap, says, _PAIRED, _BCA)
    labels = MultiLabel(classes=()).formulas
    for formula in (*ERRORS.values(), AUC, MACRO_AUC, labels["macro_f1"], labels["exact_match"]):
        yield DescribedMetric(formula.measure, formula.says, _PAIRED, formula.source or _BCA)
    says = "share of samples with the best class that the float model gives"
    yield DescribedMetric(Measure(name="agreement"), says, _TANGO, _WILSON)
    says = "√(Σ (output - float model's)² / Σ (float model's)²), of the channel where it is largest"
    yield DescribedMetric(Measure(name="deviation", higher_is_better=False), says, _PAIRED, _BCA)
