"""Guess the task of a model and a data set, if the user does not name it.

Shapes and labels often suffice; otherwise the float model's outputs for real samples decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets.labels import MOST_CLASSES
from bitpick.errors import DataError
from bitpick.tasks.case import Case, binary, mask
from bitpick.tasks.segmentation import class_axes

REPRODUCES = 0.05  # an output that reproduces the input leaves at most this share of the input's variance
_MIN_CONFIDENCE, _MAX_SAME_CLASS, _MIN_BOTH_SIGNS = 0.5, 0.9, 0.9  # see `_are_scores`
_LEVEL = 1e-3
_ERRORS = ("mae", "rmse", "r2")


@dataclass(frozen=True)
class Guess:
    """A guessed task.

    Attributes:
        kind: its name.
        because: the reason, as the end of a sentence.
        unsure: whether the float model's outputs still have to confirm it.
    """

    kind: str
    because: str
    unsure: bool = False


def guess(case: Case) -> Guess:
    """Guess the task of a case.

    Raises:
        DataError: no task fits, or more than one.
    """
    if case.labels is None:
        return _without_labels(case)
    if case.judging.metric in _ERRORS and (case.like_labels is not None or not case.classes):
        return Guess("regression", f"the metric {case.judging.metric} compares values")
    return _from_many_labels(case) if case.labels.ndim > 1 else _from_one_label(case)


def _from_one_label(case: Case) -> Guess:
    """Guess from one label for each sample."""
    labels, counts, classes = case.labels, case.counts, case.classes
    assert labels is not None
    whole_numbers = labels.dtype.kind in "iub"
    scored = len(classes) in counts or (len(classes) == 2 and 1 in counts)
    # Numbers may be class numbers, or counts, or 1 for an anomaly.
    numbers_alone = classes == tuple(map(str, range(len(classes))))
    classification = _classification(case) if whole_numbers and classes and scored else None
    mirrored_is_wide = case.mirrored is not None and counts[case.mirrored[0]] > 2
    if (
        case.mirrored is not None
        and binary(labels)
        and (classification is None or (mirrored_is_wide and numbers_alone))
    ):
        return _anomaly(case, numbers_alone or not classes, classification)
    if classification is not None:
        return classification
    if case.numbered is not None and classes:
        if numbers_alone:
            raise _ambiguous_numbers(case, "classification")
        return Guess("classification", "the labels are classes, and the model gives the number of one")
    several_values = any(count > 1 for count in counts)
    if whole_numbers and classes and (several_values or 1 not in counts or not numbers_alone):
        return _classification(case)
    if whole_numbers and (several_values or binary(labels)):
        return _classification(case)
    if several_values and 1 not in counts:
        raise DataError(
            f"the labels are numbers such as {labels[0]:g}, and {case.gives}",
            expected="class numbers, as integers, for a model that gives a score for each class",
        )
    return Guess("regression", f"the labels are numbers such as {labels[0]:g}, and the model gives one for each sample")


def _classification(case: Case) -> Guess:
    if 1 in case.counts and len(case.classes) == 2 and 2 not in case.counts:
        return Guess("classification", "the labels are those of two classes, and the model gives one score")
    return Guess("classification", "the labels are classes, and the model gives a score for each")


def _anomaly(case: Case, numbers: bool, otherwise: Guess | None) -> Guess:
    """Guess from labels of 0 and 1 and an output of the shape of an input.

    Args:
        case: the case.
        numbers: whether the source has the labels 0 and 1, not the names of two classes.
        otherwise: the guess if the output holds scores after all; None if it cannot.

    Raises:
        DataError: the output does not reproduce the input, and holds no scores; or the anomalies are the first class.
    """
    assert case.mirrored is not None
    output, source = case.signature.outputs[case.mirrored[0]].name, case.signature.inputs[case.mirrored[1]].name
    labels = "the labels are " + ("0 and 1" if numbers else "those of two classes")
    alike = f"the output {output} has the shape of the input {source}"
    one_class = Guess("anomaly", f"{labels}, all calibration samples have the same label, and {alike}")
    if case.one_class and numbers:
        return one_class
    if case.float_run is None:
        return Guess("anomaly", "", unsure=True)
    p_value = _p_value_worse(case)
    if not numbers and p_value > 1 - _LEVEL:
        first, second = case.classes
        raise DataError(
            f"the model reconstructs samples of the class {first} worse than those of {second}",
            expected="the normal class first, and the anomalies second",
            fix=f"--classes {second},{first}",
        )
    if case.one_class:
        return one_class
    if case.unexplained <= REPRODUCES:
        return Guess(
            "anomaly", f"{labels}, and the output {output} reproduces the input {source} ({_unexplained_text(case)})"
        )
    if p_value < _LEVEL:
        abnormal = "1" if numbers else case.classes[1]
        return Guess(
            "anomaly", f"{labels}, and samples of {abnormal} have an output {output} farther from the input {source}"
        )
    if otherwise is None:
        raise DataError(
            f"{labels}, and {alike}, but does not reproduce it ({_unexplained_text(case)})",
            expected="an output that the labels can be compared with",
            fix="say what the model is for with --task",
        )
    return otherwise


def _p_value_worse(case: Case) -> float:
    """Return the p-value of Mann and Whitney's test that samples of the second class are reconstructed worse."""
    from scipy.stats import mannwhitneyu

    assert case.float_run is not None
    assert case.mirrored is not None
    targets = case.float_run.targets
    assert targets is not None
    errors, _ = case.float_run.errors(*case.mirrored)
    normal, abnormal = errors[targets == 0], errors[targets == 1]
    if not len(normal) or not len(abnormal):
        return 0.5
    return float(mannwhitneyu(abnormal, normal, alternative="greater").pvalue)


def _without_labels(case: Case) -> Guess:
    no_labels = "there are no labels, and "
    if len(case.classes) > 1 and len(case.classes) in case.counts:
        return Guess("agreement", f"{no_labels}the model gives a score for each of the {len(case.classes)} classes")
    if len(case.signature.outputs) > 1:
        return Guess("deviation", f"{no_labels}the model gives {len(case.signature.outputs)} outputs")
    mirrors_input = case.mirrored is not None and len(case.signature.inputs) == 1
    whole_number = case.signature.outputs[0].is_index and case.counts[0] == 1
    if case.float_run is None and (mirrors_input or whole_number or case.counts[0] > 1):
        return Guess("reconstruction" if mirrors_input else "agreement", "", unsure=True)
    if mirrors_input and case.unexplained <= REPRODUCES:
        return Guess("reconstruction", f"{no_labels}the output reproduces the input ({_unexplained_text(case)})")
    if mirrors_input:
        return Guess(
            "deviation",
            f"{no_labels}the output has the input's shape but does not reproduce it ({_unexplained_text(case)})",
        )
    if whole_number and case.float_run is not None and _are_class_numbers(case.float_run.outputs[0]):
        return Guess("agreement", f"{no_labels}the output looks like the number of a class")
    if case.counts[0] < 2:
        return Guess("deviation", f"{no_labels}the output is not a row of scores")
    assert case.float_run is not None
    if _are_scores(case.float_run.outputs[0].reshape(len(case.float_run.outputs[0]), -1)):
        return Guess("agreement", f"{no_labels}the output looks like a score for each of {case.counts[0]} classes")
    return Guess("deviation", f"{no_labels}the output does not look like scores of classes")


def _unexplained_text(case: Case) -> str:
    share = "more than all" if case.unexplained > 1 else f"{100 * case.unexplained:.2g}%"
    return f"it leaves {share} of the input's variance; at most {100 * REPRODUCES:g}% may be left"


def _are_class_numbers(values: NDArray[np.float32]) -> bool:
    """Whether integers look like class numbers."""
    return bool(values.min() >= 0 and values.max() < MOST_CLASSES)


def _are_scores(values: NDArray[np.float32]) -> bool:
    """Whether values of shape (n, classes) look like class scores, not like coordinates or features.

    They do if they are probabilities that add up to 1, or their logarithms. They also do if, on average, a softmax
    makes the best class as likely as all others together, no class is the best for more than 90% of the samples, and
    90% of the samples have values of both signs.
    """
    values64 = values.astype(np.float64)
    if any(_are_probabilities(shares) for shares in (values64, np.exp(np.minimum(values64, 1)))):
        return True
    best = np.exp(values64 - values64.max(axis=1, keepdims=True))
    sure = float((1 / best.sum(axis=1)).mean())
    most = float(np.bincount(values64.argmax(axis=1)).max() / len(values64))
    signs = float(((values64.min(axis=1) < 0) & (values64.max(axis=1) > 0)).mean())
    return sure >= _MIN_CONFIDENCE and most <= _MAX_SAME_CLASS and signs >= _MIN_BOTH_SIGNS


def _are_probabilities(shares: NDArray[np.float64]) -> bool:
    return bool(shares.min() >= 0 and np.abs(shares.sum(axis=1) - 1).max() < 0.01)


def _from_many_labels(case: Case) -> Guess:
    """Guess from several label values for each sample."""
    labels, place = case.labels, case.like_labels
    assert labels is not None
    scored = labels.dtype.kind in "iub" and any(class_axes(e, labels.shape[1:]) for e in case.signature.outputs)
    if scored and (place is None or case.numbered is not None):
        return Guess("segmentation", "the labels are class numbers, and the model gives scores for each of them")
    if place is None:
        raise case.unlike
    if case.numbered is not None:
        raise _ambiguous_numbers(case, "segmentation")
    second = mask(labels)
    if second is None:
        return Guess("regression", "the labels are numbers, and an output has their shape")
    tensor = case.signature.outputs[place]
    if len(tensor.sizes or ()) > 1 or _is_sequence(tensor.shape):
        return Guess("segmentation", f"the labels are 0 or {second} for each value of an output")
    if labels.ndim == 2 and (labels.sum(axis=1) == 1).all():
        raise DataError(
            "the labels are one-hot: one 1 in each row",
            expected="class numbers, of shape (samples,)",
            fix="store labels.argmax(axis=1), or say --task multilabel",
        )
    return Guess("multilabel", "the labels are several, each 0 or 1, and the model gives a score for each")


def _ambiguous_numbers(case: Case, task: str) -> DataError:
    """Return the error for integers that may be class numbers or amounts."""
    return DataError(
        f"the labels are whole numbers, and so are the answers: {case.gives}",
        expected="to know whether they are numbers of classes, which are right or wrong, or amounts",
        fix=f"say --task {task} for classes, or --task regression for amounts",
    )


def _is_sequence(shape: tuple[int | None, ...] | None) -> bool:
    """Whether a sample has one score at each position of a sequence, as shape (positions, 1) has."""
    return shape is not None and len(shape) == 2 and shape[1] == 1 and shape[0] != 1
