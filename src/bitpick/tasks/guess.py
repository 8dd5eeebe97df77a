"""Which kind of task a model and a data set make, where the user does not say so.

Shapes and labels say much, and not enough: what is left is looked up in what the float model gives for real samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets.labels import MOST_CLASSES
from bitpick.errors import DataError
from bitpick.tasks.case import Case, binary, mask
from bitpick.tasks.segmentation import class_axes

REPRODUCES = 0.05  # of the input's variance, at most, is left by an output that is the input again
_SURE, _SPREAD, _SIGNS = 0.5, 0.9, 0.9  # see `_scores`
_LEVEL = 1e-3
_ERRORS = ("mae", "rmse", "r2")


@dataclass(frozen=True)
class Guess:
    """A kind of task.

    Attributes:
        kind: its name.
        because: why, as the end of a sentence.
        unsure: whether the float model's outputs still have to show it.
    """

    kind: str
    because: str
    unsure: bool = False


def guess(case: Case) -> Guess:
    """The kind of task that a case makes.

    Raises:
        DataError: it makes none, or two.
    """
    if case.labels is None:
        return _without_labels(case)
    if case.judging.metric in _ERRORS and (case.like_labels is not None or not case.classes):
        return Guess("regression", f"the metric {case.judging.metric} compares values")
    return _of_many(case) if case.labels.ndim > 1 else _of_one(case)


def _of_one(case: Case) -> Guess:
    """Of one label for each sample."""
    labels, counts, classes = case.labels, case.counts, case.classes
    assert labels is not None
    whole = labels.dtype.kind in "iub"
    scored = len(classes) in counts or (len(classes) == 2 and 1 in counts)
    # Numbers may be those of classes, or counts, or 1 for what is abnormal.
    numbers_alone = classes == tuple(map(str, range(len(classes))))
    named = _classification(case) if whole and classes and scored else None
    wide = case.mirrored is not None and counts[case.mirrored[0]] > 2
    if case.mirrored is not None and binary(labels) and (named is None or (wide and numbers_alone)):
        return _anomaly(case, numbers_alone or not classes, named)
    if named is not None:
        return named
    if case.numbered is not None and classes:
        if numbers_alone:
            raise _class_or_amount(case, "classification")
        return Guess("classification", "the labels are classes, and the model gives the number of one")
    many = any(count > 1 for count in counts)
    if whole and classes and (many or 1 not in counts or not numbers_alone):
        return _classification(case)
    if whole and (many or binary(labels)):
        return _classification(case)
    if many and 1 not in counts:
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
    """Of labels of 0 and 1 beside an output of the shape of an input.

    Args:
        case: the case.
        numbers: whether the labels are 0 and 1 as they are, and not names of classes.
        otherwise: what it is if the output holds scores after all; None where it cannot.

    Raises:
        DataError: nothing shows that the output is the input again, and it holds no scores; or the class of anomalies
            is the first.
    """
    assert case.mirrored is not None
    output, given = case.signature.outputs[case.mirrored[0]].name, case.signature.inputs[case.mirrored[1]].name
    told = "the labels are " + ("0 and 1" if numbers else "those of two classes")
    alike = f"the output {output} has the shape of the input {given}"
    one_class = Guess("anomaly", f"{told}, all calibration samples have the same label, and {alike}")
    if case.one_class and numbers:
        return one_class
    if case.seen is None:
        return Guess("anomaly", "", unsure=True)
    p_value = _worse(case)
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
        return Guess("anomaly", f"{told}, and the output {output} reproduces the input {given} ({_left(case)})")
    if p_value < _LEVEL:
        of = "1" if numbers else case.classes[1]
        return Guess("anomaly", f"{told}, and samples of {of} have an output {output} farther from the input {given}")
    if otherwise is None:
        raise DataError(
            f"{told}, and {alike}, but does not reproduce it ({_left(case)})",
            expected="an output that the labels can be compared with",
            fix="say what the model is for with --task",
        )
    return otherwise


def _worse(case: Case) -> float:
    """How surely samples of the second class are reconstructed worse: the p-value of Mann and Whitney's test."""
    from scipy.stats import mannwhitneyu

    assert case.seen is not None
    assert case.mirrored is not None
    targets = case.seen.targets
    assert targets is not None
    errors, _ = case.seen.errors(*case.mirrored)
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
    again = case.mirrored is not None and len(case.signature.inputs) == 1
    number = case.signature.outputs[0].is_index and case.counts[0] == 1
    if case.seen is None and (again or number or case.counts[0] > 1):
        return Guess("reconstruction" if again else "agreement", "", unsure=True)
    if again and case.unexplained <= REPRODUCES:
        return Guess("reconstruction", f"{no_labels}the output reproduces the input ({_left(case)})")
    if again:
        return Guess(
            "deviation", f"{no_labels}the output has the input's shape but does not reproduce it ({_left(case)})"
        )
    if number and case.seen is not None and _numbers(case.seen.outputs[0]):
        return Guess("agreement", f"{no_labels}the output looks like the number of a class")
    if case.counts[0] < 2:
        return Guess("deviation", f"{no_labels}the output is not a row of scores")
    assert case.seen is not None
    if _scores(case.seen.outputs[0].reshape(len(case.seen.outputs[0]), -1)):
        return Guess("agreement", f"{no_labels}the output looks like a score for each of {case.counts[0]} classes")
    return Guess("deviation", f"{no_labels}the output does not look like scores of classes")


def _left(case: Case) -> str:
    left = "more than all" if case.unexplained > 1 else f"{100 * case.unexplained:.2g}%"
    return f"it leaves {left} of the input's variance; at most {100 * REPRODUCES:g}% may be left"


def _numbers(values: NDArray[np.float32]) -> bool:
    """Whether whole numbers look like those of classes."""
    return bool(values.min() >= 0 and values.max() < MOST_CLASSES)


def _scores(values: NDArray[np.float32]) -> bool:
    """Whether values of shape (n, classes) look like scores of classes, and not like coordinates or features.

    They do if they are probabilities that add up to 1, or their logarithms. They also do if all of this holds: a
    softmax makes the best one as likely as the others together, on average; the best one is not the same for more than
    90% of the samples; and 90% of the samples have values of both signs.
    """
    whole = values.astype(np.float64)
    if any(_probabilities(shares) for shares in (whole, np.exp(np.minimum(whole, 1)))):
        return True
    best = np.exp(whole - whole.max(axis=1, keepdims=True))
    sure = float((1 / best.sum(axis=1)).mean())
    most = float(np.bincount(whole.argmax(axis=1)).max() / len(whole))
    signs = float(((whole.min(axis=1) < 0) & (whole.max(axis=1) > 0)).mean())
    return sure >= _SURE and most <= _SPREAD and signs >= _SIGNS


def _probabilities(shares: NDArray[np.float64]) -> bool:
    return bool(shares.min() >= 0 and np.abs(shares.sum(axis=1) - 1).max() < 0.01)


def _of_many(case: Case) -> Guess:
    """Of labels that are several numbers for each sample."""
    labels, place = case.labels, case.like_labels
    assert labels is not None
    scored = labels.dtype.kind in "iub" and any(class_axes(e, labels.shape[1:]) for e in case.signature.outputs)
    if scored and (place is None or case.numbered is not None):
        return Guess("segmentation", "the labels are class numbers, and the model gives scores for each of them")
    if place is None:
        raise case.unlike
    if case.numbered is not None:
        raise _class_or_amount(case, "segmentation")
    second = mask(labels)
    if second is None:
        return Guess("regression", "the labels are numbers, and an output has their shape")
    tensor = case.signature.outputs[place]
    if len(tensor.sizes or ()) > 1 or _sequence(tensor.shape):
        return Guess("segmentation", f"the labels are 0 or {second} for each value of an output")
    if labels.ndim == 2 and (labels.sum(axis=1) == 1).all():
        raise DataError(
            "the labels are one-hot: one 1 in each row",
            expected="class numbers, of shape (samples,)",
            fix="store labels.argmax(axis=1), or say --task multilabel",
        )
    return Guess("multilabel", "the labels are several, each 0 or 1, and the model gives a score for each")


def _class_or_amount(case: Case, task: str) -> DataError:
    """That nothing tells the numbers of classes from amounts."""
    return DataError(
        f"the labels are whole numbers, and so are the answers: {case.gives}",
        expected="to know whether they are numbers of classes, which are right or wrong, or amounts",
        fix=f"say --task {task} for classes, or --task regression for amounts",
    )


def _sequence(shape: tuple[int | None, ...] | None) -> bool:
    """Whether a sample has one score at each position of a sequence: shape (positions, 1)."""
    return shape is not None and len(shape) == 2 and shape[1] == 1 and shape[0] != 1
