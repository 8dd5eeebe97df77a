"""Which samples are calibrated with and which are evaluated on: by the names that people give splits, or by a share."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets.sampling import stratified
from bitpick.errors import DataError

CALIBRATION = ("calibration", "calib", "train", "training")
EVALUATION = ("evaluation", "eval", "test", "testing", "validation", "valid", "val")
DEFAULT_SHARE = 0.8
_FEW = 32  # samples to calibrate with: with fewer, ranges depend on which they are


def pair(names: Iterable[str]) -> tuple[str, str] | None:
    """Of the names of splits, the one to calibrate with and the one to evaluate on; None where there are no two.

    Of several the first in the order of `CALIBRATION` and `EVALUATION` is taken.
    """
    there = {name.lower(): name for name in names}
    first = [there[name] for name in CALIBRATION if name in there]
    second = [there[name] for name in EVALUATION if name in there]
    if not first:  # a validation and a test set, the training set kept apart: the last of them
        first = second[:0:-1]
    return (first[0], second[0]) if first and second else None


def known(name: str) -> bool:
    """Whether a name is one that people give splits."""
    return name.lower() in (*CALIBRATION, *EVALUATION)


def divide(
    labels: NDArray[np.integer] | None, count: int, share: float | None, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide samples into those to calibrate with and those to evaluate on, no sample in both, each class by its share.

    Args:
        labels: integer classes of shape (count,); None where there are none.
        count: how many samples.
        share: of those to evaluate on; None is `DEFAULT_SHARE`.
        seed: of the division; the same seed divides alike.

    Returns:
        The places of both, int64, each in ascending order.

    Raises:
        DataError: one of them would be empty.
    """
    share = DEFAULT_SHARE if share is None else share
    size = round(count * share)
    if not 0 < size < count:
        raise DataError(
            f"{count} samples cannot be divided into two sets with {share:g} of them to evaluate on",
            expected="at least one sample in each",
            fix="give more samples, or two sets, in folders or files named train and test: builds are not calibrated "
            "with what they are evaluated on",
        )
    chosen = stratified(np.zeros(count, np.int64) if labels is None else labels, size, seed)
    rest = np.setdiff1d(np.arange(count), chosen)
    return rest, np.sort(chosen)


def told(share: float | None, first: int, second: int) -> str:
    """What a division did, in words."""
    given = few = ""
    if share is None:
        given = " (--split SHARE, or folders or files named train and test, override it)"
        few = f"; {first:,} are few to calibrate with, and --split 0.5 gives half" if first < _FEW < second else ""
    return f"one set, divided: {second:,} samples to evaluate on, the other {first:,} to calibrate with{given}{few}"
