"""The order of the classes that the float model was trained with, where the data set's looks to be another."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.statistics import mcnemar_midp

LEVEL = 1e-3  # of being shown; some ten things are tried
GAIN = 0.1  # of accuracy, from which on a mistake is certain enough to end the run
_NEAR = 0.05  # of accuracy, by which an order that fits must beat a usual one

Classes = NDArray[np.int64]


@dataclass(frozen=True)
class Order:
    """Another order of the classes.

    Attributes:
        option: where it comes from, and the option that gives it.
        gain: what it gains in accuracy.
        share: the accuracy with it.
    """

    option: str
    gain: float
    share: float


def better(predicted: Classes, targets: Classes, classes: tuple[str, ...]) -> Order | None:
    """The other order of the classes that is shown to be better: a usual one, else the one that fits best.

    Args:
        predicted: the class that the model gives each sample, of shape (n,).
        targets: the class that each has, of shape (n,).
        classes: names of the classes.
    """
    size = len(classes)
    if predicted.max() >= size or targets.max() >= size:
        return None
    fitting = _fitting(predicted, targets, size)
    usual = [(words, order, _gain(order, predicted, targets)) for words, order in usual_orders(classes)]
    words, order, gain = max(usual, key=lambda each: each[2], default=("", np.arange(size), 0.0))
    if gain > 0 and (fitting is None or gain >= fitting[1] - _NEAR):
        share = float((order[predicted] == targets).mean())
        told = (
            f"the model seems to have been trained with the classes in the order of {words}: {_option(classes, order)}"
        )
        return Order(told, gain, share)
    if fitting is None:
        return None
    order, gain, share = fitting
    return Order(f"naming them in the order of its scores, {_option(classes, order)}", gain, share)


def usual_orders(classes: tuple[str, ...]) -> list[tuple[str, Classes]]:
    """The orders that training pipelines give classes: in words, and as the place in `classes` of each score.

    `torchvision.datasets.ImageFolder` and `keras.utils.image_dataset_from_directory` sort the names of folders as text,
    so that 10 comes before 2.
    """
    keys: dict[str, Callable[[str], Any]] = {
        "their names as text": str,
        "their names as text, ignoring case": lambda name: (name.lower(), name),
        "the numbers in their names": _parts,
    }
    orders = {words: sorted(range(len(classes)), key=_by(key, classes)) for words, key in keys.items()}
    return [(words, np.array(order)) for words, order in orders.items() if order != list(range(len(classes)))]


def _by(key: Callable[[str], Any], classes: tuple[str, ...]) -> Callable[[int], Any]:
    return lambda place: key(classes[place])


def _parts(name: str) -> list[tuple[int, int, str]]:
    """A name's numbers as numbers, between its letters."""
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _gain(order: Classes, predicted: Classes, targets: Classes) -> float:
    """How much accuracy another order of the classes gains; 0 where it is not shown to gain enough."""
    before, after = predicted == targets, order[predicted] == targets
    won, lost = int((after & ~before).sum()), int((before & ~after).sum())
    gain = (won - lost) / len(targets)
    return gain if gain >= GAIN and mcnemar_midp(lost, won) < LEVEL else 0.0


def _fitting(predicted: Classes, targets: Classes, size: int) -> tuple[Classes, float, float] | None:
    """The order of the classes that fits best, what it gains, and its accuracy; None where it is not shown to gain.

    It is found on one half of the samples and judged on the other one: some order always flatters. What is told is the
    order that fits all of them, in which a class without samples stays where it is.
    """
    from scipy.optimize import linear_sum_assignment

    def best(some: NDArray[np.bool_]) -> Classes:
        counts = np.zeros((size, size), np.int64)
        np.add.at(counts, (predicted[some], targets[some]), size + 1)
        _, order = linear_sum_assignment(counts + np.eye(size, dtype=np.int64), maximize=True)
        return np.asarray(order)

    first = np.arange(len(targets)) % 2 == 0
    order = best(first)
    gain = _gain(order, predicted[~first], targets[~first])
    share = float((order[predicted[~first]] == targets[~first]).mean())
    return (best(np.ones(len(targets), bool)), gain, share) if gain > 0 else None


def _option(classes: tuple[str, ...], order: Classes) -> str:
    """The option that gives the classes this order, as a shell takes it."""
    names = [classes[i] for i in order]
    if any("," in name for name in names):
        return f"--classes FILE, with one name a line: {' | '.join(names)}"
    return f"--classes {shlex.quote(','.join(names))}"
