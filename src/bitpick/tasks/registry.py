"""The tasks, and the choice of the one for a model and a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from bitpick.errors import DataError, ModelError, RequestError, did_you_mean
from bitpick.schema.judging import Judging
from bitpick.tasks import custom
from bitpick.tasks.anomaly import Anomaly
from bitpick.tasks.case import Case, binary, mask
from bitpick.tasks.classification import Classification
from bitpick.tasks.custom import Custom
from bitpick.tasks.deviation import Deviation
from bitpick.tasks.guess import guess
from bitpick.tasks.multilabel import MultiLabel
from bitpick.tasks.reconstruction import Reconstruction
from bitpick.tasks.regression import Regression
from bitpick.tasks.segmentation import IGNORED, Segmentation, class_axes
from bitpick.tasks.segmentation import checked as ignored
from bitpick.tasks.task import Task

_Tasks = Classification | MultiLabel | Segmentation | Regression | Reconstruction | Anomaly | Deviation | Custom
AnyTask = Annotated[_Tasks, Field(discriminator="kind")]
"""Any task; `kind` is the discriminator."""

METRICS: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy",),
    "multilabel": ("macro_auc", "macro_f1", "exact_match"),
    "segmentation": ("position_accuracy", "iou"),
    "regression": ("mae", "rmse", "r2"),
    "reconstruction": ("mae", "rmse"),
    "anomaly": ("auc",),
    "agreement": ("agreement",),
    "deviation": ("deviation",),
}
"""The metrics of each task; the first one is the default."""
WITHOUT_LABELS = ("reconstruction", "agreement", "deviation")
_LEAST = 10  # samples of either kind: with fewer, a resample of a half may lack one kind


def checked(judging: Judging) -> Judging:
    """Check the user's request, and add the digest of the user's metric.

    Raises:
        RequestError: there is no such task or metric, or the metric does not belong to the task.
    """
    task, metric = judging.task, judging.metric
    if task is not None and task not in METRICS:
        known = ", ".join(METRICS)
        raise RequestError(f"there is no task {task!r}", expected=f"one of {known}", fix=did_you_mean(task, METRICS))
    if _is_function(metric):
        return judging.model_copy(update={"metric_sha256": custom.digest(str(metric))})
    metrics = METRICS[task] if task else tuple(dict.fromkeys(each for names in METRICS.values() for each in names))
    if metric is not None and metric not in metrics:
        raise RequestError(
            f"there is no metric {metric!r}{f' of the task {task}' if task else ''}",
            expected=f"one of {', '.join(metrics)}, or a function of yours, as module:function",
            fix=did_you_mean(metric, metrics),
        )
    if judging.lower_is_better is not None:
        raise RequestError(
            "--lower-is-better is about a metric of yours", expected="--metric module:function beside it"
        )
    return judging


@dataclass(frozen=True)
class Chosen:
    """A chosen task.

    Attributes:
        task: the task.
        note: the guess and its reason, in words; empty if the user named the task.
        unsure: whether the float model's outputs still have to confirm the guess.
    """

    task: Task
    note: str = ""
    unsure: bool = False


def choose(case: Case) -> Chosen:
    """Return the task that the user named, or else the one that fits the model and the data set.

    Raises:
        RequestError: no output can be compared with the labels, no task fits, or the named task does not fit.
    """
    if _is_function(case.judging.metric):
        return Chosen(_custom(case))
    requested = case.judging.task
    guessed = guess(case) if requested is None else None
    kind = requested or guessed.kind if guessed else str(requested)
    if case.labels is None and kind not in WITHOUT_LABELS:
        raise DataError(f"the task {kind} needs labels, and the data set has none", fix="give them with --labels")
    metric = case.judging.metric
    if metric is not None and metric not in METRICS[kind]:
        raise RequestError(
            f"the model {case.source} and the data set suggest the task {kind}, which is not judged by {metric}",
            expected=f"one of {', '.join(METRICS[kind])}",
            fix="" if requested else "say what the model is for with --task",
        )
    task = _MAKERS[kind](case)
    if guessed is None:
        return Chosen(task)
    note = f"the task is taken to be {kind}, because {guessed.because}; --task overrides it"
    return Chosen(task, note, guessed.unsure)


def _is_function(metric: str | None) -> bool:
    """Whether a metric is a function of the user's."""
    return metric is not None and ":" in metric


def _classification(case: Case) -> Classification:
    labels, counts = case.labels, case.counts
    assert labels is not None
    if labels.ndim != 1 or labels.dtype.kind not in "iub":
        raise DataError(
            f"the labels are {labels.dtype} of shape {labels.shape}", expected="class numbers, integers of one axis"
        )
    if case.numbered is not None and case.classes and len(case.classes) not in case.counts:
        return Classification(classes=case.classes, output=case.numbered, numbers=True)
    place = _scores_output(case)
    count = max(2, counts[place])
    classes = case.classes or tuple(map(str, range(count)))
    if count != len(classes):
        raise DataError(
            f"the model {case.source} gives {count} scores, and the data set has {len(classes)} classes",
            expected="as many of each",
            fix="where the data set has only some of the model's classes, name all of them in its order: --classes",
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= count:
        raise DataError(
            f"the data set has the label {low if low < 0 else high}, outside its {count} classes",
            expected=f"labels 0 to {count - 1}",
        )
    return Classification(classes=classes, output=place, threshold=_threshold(counts[place]))


def _agreement(case: Case) -> Classification:
    place = _scores_output(case)
    if case.counts[place] == 1 and case.signature.outputs[place].is_index:
        return Classification(kind="agreement", classes=case.classes, output=place, numbers=True)
    count = max(2, case.counts[place])
    classes = case.classes if len(case.classes) == count else tuple(map(str, range(count)))
    threshold = _threshold(case.counts[place])
    return Classification(kind="agreement", classes=classes, output=place, threshold=threshold)


def _scores_output(case: Case) -> int:
    """Return the output with a score for each class: as many as there are names, else the first possible one."""
    least = 1 if len(case.classes) in (0, 2) else 2  # one score is enough for two classes
    places = [i for i, count in enumerate(case.counts) if count >= least]
    if not places:
        raise ModelError(
            f"{case.gives}, and no score per class",
            expected=f"shape (batch, {len(case.classes) or 'classes'})",
            fix="" if case.labels is not None else "take another --task",
        )
    return next((i for i in places if case.counts[i] == len(case.classes)), places[0])


def _threshold(count: int) -> float | None:
    """Return the threshold; for a single score it is known only after the float model has run."""
    return None if count == 1 else 0.5


def _multilabel(case: Case) -> MultiLabel:
    labels = case.labels
    assert labels is not None
    if labels.ndim != 2 or not binary(labels):
        raise DataError(
            f"the labels are {labels.dtype} of shape {labels.shape}", expected="a 0 or a 1 for each label of a sample"
        )
    count = labels.shape[1]
    classes = case.classes if len(case.classes) == count else tuple(map(str, range(count)))
    return MultiLabel(classes=classes, output=_values_output(case), **_judged_by(case))


def _segmentation(case: Case) -> Segmentation:
    labels = case.labels
    assert labels is not None
    place = case.like_labels
    if place is not None and (second := mask(labels)):
        return Segmentation(output=place, second=second, **_judged_by(case))
    if labels.ndim < 2 or labels.dtype.kind not in "iub":
        raise DataError(
            f"the labels are {labels.dtype} of shape {labels.shape}", expected="class numbers for each position"
        )
    if case.numbered is not None:
        count = 1 + int(labels[~np.isin(labels, IGNORED)].max(initial=0))
        ignored_label = ignored(labels, count)
        return Segmentation(output=case.numbered, numbers=True, count=count, ignored=ignored_label, **_judged_by(case))
    for place, tensor in enumerate(case.signature.outputs):
        if axes := class_axes(tensor, labels.shape[1:]):
            sizes = [tensor.shape[axis - 1] for axis in axes if tensor.shape]
            count = max(2, *(size or 0 for size in sizes), int(labels.max()) + 1 if None in sizes else 0)
            second = mask(labels) if count == 2 else None  # a mask without a 1 has no class but 255
            ignored_label = None if second else ignored(labels, count)
            fields = {"output": place, "axes": axes, "count": count, "second": second or 1, "ignored": ignored_label}
            return Segmentation.model_validate(fields | _judged_by(case))
    raise case.unlike


def _regression(case: Case) -> Regression:
    return Regression(output=_values_output(case), unit=case.judging.unit or "", **_judged_by(case))


def _values_output(case: Case) -> int:
    """Return the output to compare with the labels, value by value."""
    if case.like_labels is None:
        raise case.unlike
    return case.like_labels


def _reconstruction(case: Case) -> Reconstruction:
    output_index, input_index = _mirrored_pair(case)
    return Reconstruction(output=output_index, input=input_index, unit=case.judging.unit or "", **_judged_by(case))


def _anomaly(case: Case) -> Anomaly:
    labels = case.labels
    assert labels is not None
    output_index, input_index = _mirrored_pair(case)
    if case.classes == ("-1", "1"):
        raise DataError(
            "the labels are -1 and 1, and either could mean an anomaly",
            expected="1 for an anomaly, 0 for a normal sample",
        )
    if labels.ndim != 1 or not binary(labels):
        raise DataError("the labels are not 0 and 1", expected="1 for an anomaly, 0 for a normal sample")
    anomalies = int(labels.sum())
    if min(anomalies, len(labels) - anomalies) < _LEAST:
        raise DataError(
            f"{anomalies} of the {len(labels):,} samples are anomalies", expected=f"at least {_LEAST} of either kind"
        )
    return Anomaly(output=output_index, input=input_index, unit=case.judging.unit or "")


def _mirrored_pair(case: Case) -> tuple[int, int]:
    if case.mirrored is None:
        raise ModelError(case.gives, expected="an output of the shape of an input, which it reconstructs")
    return case.mirrored


def _deviation(case: Case) -> Deviation:
    return Deviation(outputs=tuple(tensor.name for tensor in case.signature.outputs))


def _custom(case: Case) -> Custom:
    judging = case.judging
    path = str(judging.metric)
    if case.labels is None:
        raise DataError(f"the metric {path} needs labels, and the data set has none", fix="give them with --labels")
    function = custom.load(path)
    higher = bool(getattr(function, "higher_is_better", True))
    return Custom(
        path=path,
        outputs=tuple(tensor.name for tensor in case.signature.outputs),
        name=str(getattr(function, "name", path.partition(":")[2])),
        unit=str(getattr(function, "unit", "")) if judging.unit is None else judging.unit,
        higher_is_better=higher if judging.lower_is_better is None else not judging.lower_is_better,
    )


def _judged_by(case: Case) -> Any:
    """Return the requested metric as a field of the task."""
    return {} if case.judging.metric is None else {"judged_by": case.judging.metric}


_MAKERS: Mapping[str, Callable[[Case], Task]] = {
    "classification": _classification,
    "multilabel": _multilabel,
    "segmentation": _segmentation,
    "regression": _regression,
    "reconstruction": _reconstruction,
    "anomaly": _anomaly,
    "agreement": _agreement,
    "deviation": _deviation,
}
