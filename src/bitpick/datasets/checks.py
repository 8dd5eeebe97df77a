"""Check the values of a data set for problems that would spoil a comparison, before any build is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets import npy
from bitpick.datasets.dataset import Dataset
from bitpick.errors import DataError

_ROWS, _NUMBERS = 256, 2**22  # limits of the sample taken from one split: rows, and numbers in them
_FULL_CHECK = 10**9  # bytes of an array up to which every float is checked
_BEYOND = 0.1  # how far outside the calibration range a value must be, as a share of that range
_SHARE = 1e-3  # share of values outside the range that triggers a note


@dataclass(frozen=True)
class _Sampled:
    """Rows sampled evenly from a split's array, as preprocessed for the model."""

    values: NDArray[Any]

    @property
    def low(self) -> float:
        return float(self.values.min())

    @property
    def high(self) -> float:
        return float(self.values.max())


def check_values(dataset: Dataset) -> list[str]:
    """Check the values of a data set.

    Returns:
        A sentence for each suspicious finding, with what to do about it.

    Raises:
        DataError: values are not finite, or the splits have different scales.
    """
    notes = []
    for name in dataset.calibration.paths:
        for split in (dataset.calibration, dataset.evaluation):
            finite(dataset.name, name, split.inputs[name])
        notes += _range_notes(dataset, name)
    return notes


def finite(source: str, name: str, array: NDArray[Any]) -> None:
    """Refuse NaN and infinite values, naming the first sample that has one.

    Args:
        source: the data set's name in messages.
        name: name of the input.
        array: array of shape (n, …).

    Raises:
        DataError: a value is not finite.
    """
    if array.dtype.kind != "f":
        return
    rows = _evenly_spaced(array) if array.nbytes > _FULL_CHECK else np.arange(len(array))
    for window in npy.chunks(len(rows), array[:1].nbytes):
        valid = np.isfinite(array[rows[window]].reshape(len(rows[window]), -1)).all(axis=1)
        if not valid.all():
            raise DataError(
                f"sample {rows[window][int(np.argmin(valid))]} of {name} in {source} has numbers that are not finite",
                expected="finite numbers",
                fix="fill or leave out such samples, as you do for the model",
            )


def _range_notes(dataset: Dataset, name: str) -> list[str]:
    """Compare the value ranges of one input in both splits; return notes on what is suspicious."""
    prepare = dataset.preprocessing.get(name)
    sampled = []
    for split in (dataset.calibration, dataset.evaluation):
        array = split.inputs[name]
        rows = array[_evenly_spaced(array)]
        sampled.append(_Sampled(rows if prepare is None else prepare(rows)))
    base, other = sampled
    if base.values.dtype.kind in "iub" and (prepare is None or prepare.dtype != "float32"):
        return []
    _refuse_different_scales(name, base, other)
    if base.low == base.high:
        return [f"every value of {name} in the calibration set is {base.low:g}: is that what the model is given?"]
    if dataset.calibration.inputs[name].dtype.kind == "f" and prepare is not None and prepare.scale == 255.0:
        _refuse_second_scaling(name, base)
    width = base.high - base.low
    outside = (other.values < base.low - _BEYOND * width) | (other.values > base.high + _BEYOND * width)
    if outside.mean() <= _SHARE:
        return []
    share = f"{100 * outside.mean():.1f}% of the values of {name} in the evaluation set"
    ranges = f"what the calibration set has: {other.low:g} to {other.high:g}, and {base.low:g} to {base.high:g}"
    return [f"{share} are outside {ranges}; builds clip them: calibrate with samples like those that are evaluated"]


def _refuse_second_scaling(name: str, base: _Sampled) -> None:
    """Refuse values from 0 to 1 that would be divided by 255 again."""
    if base.high * 255 <= 1:
        raise DataError(
            f"the values of {name} go from 0 to 1 already, and --scale 255 divides them again", fix="leave --scale out"
        )


def _refuse_different_scales(name: str, base: _Sampled, other: _Sampled) -> None:
    """Refuse a data set with one split from 0 to 1 and the other from 0 to 255."""
    names = ("calibration", "evaluation")
    for first, second, (small, large) in ((base, other, names), (other, base, names[::-1])):
        if first.low >= -1 and 0 < first.high <= 1 and second.high > 16 and second.high <= 255 and second.low >= 0:
            raise DataError(
                f"{name} goes up to {first.high:g} in the {small} set and up to {second.high:g} in the {large} set",
                expected="both on one scale",
                fix="divide the larger ones by 255, or multiply the smaller ones, before they are saved",
            )


def _evenly_spaced(array: NDArray[Any]) -> NDArray[np.int64]:
    """Return indices of rows sampled evenly from an array."""
    limit = max(8, min(_ROWS, _NUMBERS // max(1, array[:1].size)))
    return np.unique(np.linspace(0, len(array) - 1, min(len(array), limit)).astype(np.int64))
