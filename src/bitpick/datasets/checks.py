"""What in the numbers of a data set would spoil a comparison: looked at before any build is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets import npy
from bitpick.datasets.dataset import Dataset
from bitpick.errors import DataError

_ROWS, _NUMBERS = 256, 2**22  # of one split: as many rows as have so many numbers
_WHOLE = 10**9  # bytes up to which every float is looked at
_BEYOND = 0.1  # of the range that the calibration set has
_SHARE = 1e-3  # of the values, from which on they matter


@dataclass(frozen=True)
class _Seen:
    """What a split's array has in it, as prepared for the model: some rows spread over it."""

    values: NDArray[Any]

    @property
    def low(self) -> float:
        return float(self.values.min())

    @property
    def high(self) -> float:
        return float(self.values.max())


def look(dataset: Dataset) -> list[str]:
    """Check the numbers of a data set.

    Returns:
        What is strange, each in a sentence with what to do.

    Raises:
        DataError: numbers that are not finite, or splits on different scales.
    """
    notes = []
    for name in dataset.calibration.paths:
        for split in (dataset.calibration, dataset.evaluation):
            finite(dataset.name, name, split.inputs[name])
        notes += _ranges(dataset, name)
    return notes


def finite(source: str, name: str, array: NDArray[Any]) -> None:
    """Refuse floats that are none, with the place of the first sample that has some.

    Args:
        source: the data set, as messages call it.
        name: of the input.
        array: of shape (n, …).

    Raises:
        DataError: there are some.
    """
    if array.dtype.kind != "f":
        return
    rows = _spread(array) if array.nbytes > _WHOLE else np.arange(len(array))
    for window in npy.chunks(len(rows), array[:1].nbytes):
        finite = np.isfinite(array[rows[window]].reshape(len(rows[window]), -1)).all(axis=1)
        if not finite.all():
            raise DataError(
                f"sample {rows[window][int(np.argmin(finite))]} of {name} in {source} has numbers that are not finite",
                expected="finite numbers",
                fix="fill or leave out such samples, as you do for the model",
            )


def _ranges(dataset: Dataset, name: str) -> list[str]:
    """What the ranges of one input's values say."""
    prepare = dataset.preprocessing.get(name)
    both = []
    for split in (dataset.calibration, dataset.evaluation):
        array = split.inputs[name]
        rows = array[_spread(array)]
        both.append(_Seen(rows if prepare is None else prepare(rows)))
    own, other = both
    if own.values.dtype.kind in "iub" and (prepare is None or prepare.dtype != "float32"):
        return []
    _same_scale(name, own, other)
    if own.low == own.high:
        return [f"every value of {name} in the calibration set is {own.low:g}: is that what the model is given?"]
    if dataset.calibration.inputs[name].dtype.kind == "f" and prepare is not None and prepare.scale == 255.0:
        _not_twice(name, own)
    width = own.high - own.low
    outside = (other.values < own.low - _BEYOND * width) | (other.values > own.high + _BEYOND * width)
    if outside.mean() <= _SHARE:
        return []
    share = f"{100 * outside.mean():.1f}% of the values of {name} in the evaluation set"
    ranges = f"what the calibration set has: {other.low:g} to {other.high:g}, and {own.low:g} to {own.high:g}"
    return [f"{share} are outside {ranges}; builds clip them: calibrate with samples like those that are evaluated"]


def _not_twice(name: str, own: _Seen) -> None:
    """Refuse values from 0 to 1 that are divided by 255 once more."""
    if own.high * 255 <= 1:
        raise DataError(
            f"the values of {name} go from 0 to 1 already, and --scale 255 divides them again", fix="leave --scale out"
        )


def _same_scale(name: str, own: _Seen, other: _Seen) -> None:
    """Refuse one split from 0 to 1 beside one from 0 to 255."""
    names = ("calibration", "evaluation")
    for first, second, (small, large) in ((own, other, names), (other, own, names[::-1])):
        if first.low >= -1 and 0 < first.high <= 1 and second.high > 16 and second.high <= 255 and second.low >= 0:
            raise DataError(
                f"{name} goes up to {first.high:g} in the {small} set and up to {second.high:g} in the {large} set",
                expected="both on one scale",
                fix="divide the larger ones by 255, or multiply the smaller ones, before they are saved",
            )


def _spread(array: NDArray[Any]) -> NDArray[np.int64]:
    """Places of some rows, evenly spaced over all."""
    most = max(8, min(_ROWS, _NUMBERS // max(1, array[:1].size)))
    return np.unique(np.linspace(0, len(array) - 1, min(len(array), most)).astype(np.int64))
