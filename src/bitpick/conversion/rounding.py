"""Decide whether outputs differ by no more than float32 rounding.

Two runtimes sum in different orders, so the outputs of one network differ a little: by about a millionth of their size
for most networks, by far more for a few samples of some. A wrong layer changes most samples, or all of one channel or
position, or a few samples by a lot. `benchmarks/hop_tolerance.py` measures how well the bounds tell these apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from bitpick.preprocessing import Arrays

BOUND = 1e-5
"""Largest difference that is surely rounding, as a share of the outputs' size; beyond it, exact arithmetic decides."""
FACTOR = 8.0
"""How many times farther from exact arithmetic one sound runtime may be than another."""
_TYPICAL = 0.9  # share of the samples that must stay within the bound in each channel: the others may be unlucky
_TURNED = 0.02  # share of the whole numbers, such as class indices, that a tie may change
_EPSILON = float(np.finfo(np.float32).eps)
_TINY = 1e-20  # avoids division by zero if all outputs are zero


@dataclass(frozen=True)
class Difference:
    """How much two sides differ in one output.

    Attributes:
        largest: the largest absolute difference.
        rms: the root mean square of the differences, as a share of that of the output.
        channel: the same for the channel, row or other position along an axis that differs most, without the worst
            tenth of the samples.
        bound: the limit for both shares.
    """

    largest: float
    rms: float
    channel: float
    bound: float

    @property
    def worst(self) -> float:
        """The larger of both shares; infinite if one side has non-finite numbers where the other has not."""
        worst = max(self.rms, self.channel)
        return worst if np.isfinite(self.rms + self.channel) else float("inf")

    @property
    def passed(self) -> bool:
        """Whether the difference is within its bound."""
        return self.worst <= self.bound


@dataclass(frozen=True)
class Exactness:
    """How far both sides are from exact arithmetic in one output, as shares of the output's size.

    Attributes:
        reference: the root mean square of the reference's differences from the exact output.
        outputs: the same for the other side.
        passed: whether neither side is much farther away than the other, over the whole output and in each channel.
    """

    reference: float
    outputs: float
    passed: bool


def differences(reference: Arrays, outputs: Arrays, dtype: Any = np.float32) -> list[Difference]:
    """Measure how much each output differs from the reference.

    Args:
        reference: the expected outputs, each of shape (n, …).
        outputs: the outputs of the other side.
        dtype: the float dtype that both sides compute in, or the coarser of the two.

    Returns:
        One difference for each output, or a single infinite one if the two sides have different numbers of outputs.
    """
    if len(reference) != len(outputs):
        return [Difference(float("inf"), float("inf"), float("inf"), BOUND)]
    epsilon = float(ml_dtypes.finfo(dtype).eps)  # type: ignore[no-untyped-call]
    bound = BOUND * epsilon / _EPSILON
    return [_difference(*pair, bound) for pair in zip(reference, outputs, strict=True)]


def alike(reference: Arrays, outputs: Arrays, dtype: Any = np.float32) -> bool:
    """Return whether all outputs differ by rounding at most; see `differences`."""
    return all(each.passed for each in differences(reference, outputs, dtype))


def worst_samples(reference: Arrays, outputs: Arrays, count: int) -> NDArray[np.int64]:
    """Return the indices of the samples that differ most, the most different one first.

    Args:
        reference: the expected outputs, each of shape (n, …).
        outputs: the outputs of the other side, of the same shapes.
        count: the largest number of samples to return.
    """
    worst = np.zeros(len(reference[0]))
    for first, second in zip(reference, outputs, strict=True):
        sizes = np.sqrt(_squares(_gaps(first, second)).samples)
        worst = np.maximum(worst, sizes / (sizes.mean() + _TINY))
    return np.argsort(-worst, kind="stable")[:count]


def exactness(reference: Arrays, outputs: Arrays, exact: Arrays) -> list[Exactness]:
    """Measure how far both sides are from exact arithmetic, one entry for each output.

    The exact outputs may come from either side's graph: a graph with a defect is near its own exact outputs, and the
    other side is far from them.

    Args:
        reference: the expected outputs, each of shape (n, …), float32.
        outputs: the outputs of the other side, of the same shapes.
        exact: the float64 outputs of either side's graph, of the same shapes.

    Raises:
        ValueError: the shapes differ.
    """
    if [each.shape for each in exact] != [each.shape for each in reference]:
        raise ValueError(f"in float64 the outputs have the shapes {', '.join(str(each.shape) for each in exact)}")
    return [_exactness(*each) for each in zip(reference, outputs, exact, strict=True)]


@dataclass(frozen=True)
class _Squares:
    """Mean squares of each sample, shape (n,), and of each position along each other axis, shape (n, size)."""

    samples: NDArray[np.float64]
    positions: list[NDArray[np.float64]]

    @property
    def overall(self) -> float:
        """The root mean square of all numbers."""
        return float(np.sqrt(self.samples.mean()))

    def typical(self) -> NDArray[np.float64]:
        """Return the root mean square at each position, without the worst samples."""
        return self._roots([np.quantile(each, _TYPICAL, axis=0, method="lower") for each in self.positions])

    def sizes(self) -> NDArray[np.float64]:
        """Return the root mean square at each position, over all samples."""
        return self._roots([each.mean(axis=0) for each in self.positions])

    def _roots(self, squares: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.sqrt(np.concatenate(squares)) if squares else np.zeros(1)


def _squares(values: NDArray[np.float64]) -> _Squares:
    squares = np.square(values)
    axes = range(1, values.ndim)
    return _Squares(
        squares.mean(axis=tuple(axes)),
        [squares.mean(axis=tuple(other for other in axes if other != axis)) for axis in axes],
    )


def _gaps(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """Subtract element by element; zero where both are the same infinity, or both NaN."""
    first, second = np.atleast_1d(first).astype(np.float64), np.atleast_1d(second).astype(np.float64)
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    return np.where(same, 0.0, np.subtract(first, second, where=~same, out=np.zeros_like(first)))


def _difference(reference: NDArray[Any], outputs: NDArray[Any], bound: float) -> Difference:
    if reference.shape != outputs.shape:
        return Difference(float("inf"), float("inf"), float("inf"), bound)
    if not reference.size:
        return Difference(0.0, 0.0, 0.0, bound)
    gaps = _gaps(reference, outputs)
    largest = float(np.abs(gaps).max(initial=0.0))
    if _is_whole(reference) and _is_whole(outputs):
        squares, size, sizes, bound = _squares((gaps != 0).astype(np.float64)), 1.0, np.ones(1), np.sqrt(_TURNED)
    else:
        squares = _squares(gaps)
        size, sizes = _size(reference)
    # A channel of numbers near zero still carries the rounding of the larger numbers it was computed from.
    channels = squares.typical() / (sizes + _EPSILON / BOUND * size + _TINY)
    return Difference(largest, squares.overall / (size + _TINY), float(channels.max(initial=0.0)), float(bound))


def _exactness(reference: NDArray[Any], outputs: NDArray[Any], exact: NDArray[Any]) -> Exactness:
    size, sizes = _size(exact)
    sides = [_squares(_gaps(each, exact)) for each in (reference, outputs)]
    passed = True
    for far, near in (sides, sides[::-1]):
        least = _EPSILON * size
        # Relative to its size, a channel has at least as much rounding as the whole output.
        channels = np.maximum(near.typical(), near.overall / (size + _TINY) * sizes)
        passed &= far.overall <= FACTOR * near.overall + least
        passed &= bool((far.typical() <= FACTOR * channels + least).all())
    first, second = (each.overall / (size + _TINY) for each in sides)
    return Exactness(first, second, bool(passed))


def _size(values: NDArray[Any]) -> tuple[float, NDArray[np.float64]]:
    """Return the root mean square of an output's finite numbers: overall, and at each position along its axes."""
    finite = np.where(np.isfinite(values), values, 0.0)
    squares = _squares(np.atleast_1d(finite).astype(np.float64))
    return squares.overall, squares.sizes()


def _is_whole(values: NDArray[Any]) -> bool:
    """Return whether all numbers are whole, such as class indices."""
    return bool(np.issubdtype(values.dtype, np.integer) or (np.isfinite(values) & (np.rint(values) == values)).all())
