"""Find the class order that the float model was trained with, if the data set seems to use a different one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.statistics import mcnemar_midp

LEVEL = 1e-3  # significance level: about ten things are tried
GAIN = 0.1  # gain in accuracy from which a mistake is certain enough to end the run
_NEAR = 0.05  # a fitted order must beat a usual one by this much accuracy

Classes = NDArray[np.int64]


@dataclass(frozen=True)
class Order:
    """A different order of the classes.

    Attributes:
        option: where the order comes from, and the option that sets it.
        gain: the gain in accuracy.
        share: the accuracy with this order.
    """

    option: str
    gain: float
    share: float


def better(predicted: Classes, targets: Classes, classes: tuple[str, ...]) -> Order | None:
    """Return a class order that is shown to be better: a usual one if possible, else the best fit.

    Args:
        predicted: the predicted class of each sample, of shape (n,).
        targets: the true class of each sample, of shape (n,).
        classes: names of the classes.
    """
    size = len(classes)
    if predicted.max() >= size or targets.max() >= size:
        return None
    fitting = _fitting(predicted, targets, size)
    usual = [(basis, order, _gain(order, predicted, targets)) for basis, order in usual_orders(classes)]
    basis, order, gain = max(usual, key=lambda candidate: candidate[2], default=("", np.arange(size), 0.0))
    if gain > 0 and (fitting is None or gain >= fitting[1] - _NEAR):
        share = float((order[predicted] == targets).mean())
        option = (
            f"the model seems to have been trained with the classes in the order of {basis}: {_option(classes, order)}"
        )
        return Order(option, gain, share)
    if fitting is None:
        return None
    order, gain, share = fitting
    return Order(f"naming them in the order of its scores, {_option(classes, order)}", gain, share)


def usual_orders(classes: tuple[str, ...]) -> list[tuple[str, Classes]]:
    """Return the orders that training pipelines use: each in words, and as the index in `classes` of each score.

    `torchvision.datasets.ImageFolder` and `keras.utils.image_dataset_from_directory` sort folder names as text, so 10
    comes before 2.
    """
    keys: dict[str, Callable[[str], Any]] = {
        "their names as text": str,
        "their names as text, ignoring case": lambda name: (name.lower(), name),
        "the numbers in their names": _parts,
    }
    orders = {basis: sorted(range(len(classes)), key=_by(key, classes)) for basis, key in keys.items()}
    return [(basis, np.array(order)) for basis, order in orders.items() if order != list(range(len(classes)))]


def _by(key: Callable[[str], Any], classes: tuple[str, ...]) -> Callable[[int], Any]:
    return lambda place: key(classes[place])


def _parts(name: str) -> list[tuple[int, int, str]]:
    """Split a name into text and numbers, with the numbers as integers."""
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _gain(order: Classes, predicted: Classes, targets: Classes) -> float:
    """Return how much accuracy a class order gains; 0 unless it is shown to gain enough."""
    before, after = predicted == targets, order[predicted] == targets
    won, lost = int((after & ~before).sum()), int((before & ~after).sum())
    gain = (won - lost) / len(targets)
    return gain if gain >= GAIN and mcnemar_midp(lost, won) < LEVEL else 0.0


def _fitting(predicted: Classes, targets: Classes, size: int) -> tuple[Classes, float, float] | None:
    """Return the class order that fits best, its gain and its accuracy; None if it is not shown to gain.

    The order is fitted on one half of the samples and judged on the other, since some order always looks good by
    chance. The order returned is fitted on all samples; a class without samples keeps its place.
    """
    from scipy.optimize import linear_sum_assignment

    def best(selected: NDArray[np.bool_]) -> Classes:
        counts = np.zeros((size, size), np.int64)
        np.add.at(counts, (predicted[selected], targets[selected]), size + 1)
        _, order = linear_sum_assignment(counts + np.eye(size, dtype=np.int64), maximize=True)
        return np.asarray(order)

    if len(targets) < 2:
        return None
    fitted_half = np.arange(len(targets)) % 2 == 0
    order = best(fitted_half)
    gain = _gain(order, predicted[~fitted_half], targets[~fitted_half])
    share = float((order[predicted[~fitted_half]] == targets[~fitted_half]).mean())
    return (best(np.ones(len(targets), bool)), gain, share) if gain > 0 else None


def _option(classes: tuple[str, ...], order: Classes) -> str:
    """Return the option that sets this class order, quoted for a shell."""
    names = [classes[i] for i in order]
    if any("," in name for name in names):
        return f"--classes FILE, with one name a line: {' | '.join(names)}"
    return f"--classes {shlex.quote(','.join(names))}"
