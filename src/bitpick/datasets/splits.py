"""Tell calibration and evaluation samples apart by the usual names of splits, or divide one set by a share."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets.sampling import stratified
from bitpick.errors import DataError

CALIBRATION = ("calibration", "calib", "train", "training")
EVALUATION = ("evaluation", "eval", "test", "testing", "validation", "valid", "val")
DEFAULT_SHARE = 0.8
_FEW = 32  # calibration samples: with fewer, ranges depend on which ones were drawn


def pair(names: Iterable[str]) -> tuple[str, str] | None:
    """Return the names of the calibration split and the evaluation split; None if there are not both.

    If several names qualify, the first in `CALIBRATION` or `EVALUATION` wins.
    """
    spellings = {name.lower(): name for name in names}
    calibration = [spellings[name] for name in CALIBRATION if name in spellings]
    evaluation = [spellings[name] for name in EVALUATION if name in spellings]
    if not calibration:  # validation and test sets only: calibrate with the last of them
        calibration = evaluation[:0:-1]
    return (calibration[0], evaluation[0]) if calibration and evaluation else None


def is_usual_name(name: str) -> bool:
    """Whether this is a usual name of a split."""
    return name.lower() in (*CALIBRATION, *EVALUATION)


def divide(
    labels: NDArray[np.integer] | None, count: int, share: float | None, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide samples into a calibration set and an evaluation set, disjoint and stratified by class.

    Args:
        labels: integer classes of shape (count,); None if there are no classes.
        count: number of samples.
        share: share of samples to evaluate on; None for `DEFAULT_SHARE`.
        seed: seed of the division; the same seed gives the same sets.

    Returns:
        The indices of calibration and evaluation samples, int64, each in ascending order.

    Raises:
        DataError: a set would be empty.
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
    evaluated = stratified(np.zeros(count, np.int64) if labels is None else labels, size, seed)
    calibrated = np.setdiff1d(np.arange(count), evaluated)
    return calibrated, np.sort(evaluated)


def division_note(share: float | None, first: int, second: int) -> str:
    """Return a note on how a set was divided."""
    options = few = ""
    if share is None:
        options = " (--split SHARE, or folders or files named train and test, override it)"
        few = f"; {first:,} are few to calibrate with, and --split 0.5 gives half" if first < _FEW < second else ""
    return f"one set, divided: {second:,} samples to evaluate on, the other {first:,} to calibrate with{options}{few}"
