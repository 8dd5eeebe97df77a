"""Whether outputs differ by what float32 rounding makes.

Two runtimes add up in different orders, so that the same network gives outputs that differ a little: by about a
millionth of their size for most networks, by far more for a few samples of some. A wrong layer changes most samples, or
all of one channel or position, or a few samples by a lot. `benchmarks/hop_tolerance.py` measures how well the bounds
tell these apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from bitpick.preprocessing import Arrays

BOUND = 1e-5
"""What rounding may make of outputs, as a share of their size; more than that is compared with exact arithmetic."""
FACTOR = 8.0
"""How many times farther from exact arithmetic one of two sound runtimes may be than the other."""
_TYPICAL = 0.9  # the share of the samples that must keep within the bound in each channel: the others may be unlucky
_TURNED = 0.02  # the share of whole numbers, such as class indices, that a tie may turn
_EPSILON = float(np.finfo(np.float32).eps)
_NOTHING = 1e-20  # stands for the size of outputs that are all zero


@dataclass(frozen=True)
class Difference:
    """By how much two sides differ in one output.

    Attributes:
        largest: the largest absolute difference.
        rms: the root mean square of the differences, as a share of that of the output.
        channel: the same for the channel, row or other place along an axis that differs most, without the worst
            tenth of the samples.
        bound: what both shares are held to.
    """

    largest: float
    rms: float
    channel: float
    bound: float

    @property
    def worst(self) -> float:
        """The larger share; infinite where a side has numbers that are not finite and the other has not."""
        worst = max(self.rms, self.channel)
        return worst if np.isfinite(self.rms + self.channel) else float("inf")

    @property
    def passed(self) -> bool:
        """Whether it is within its bound."""
        return self.worst <= self.bound


@dataclass(frozen=True)
class Exactness:
    """How far both sides are from exact arithmetic in one output, as shares of the size of the output.

    Attributes:
        reference: the root mean square of the reference's differences from the exact output.
        outputs: that of the other side.
        passed: whether neither side is much farther away than the other, in the whole output and in each channel.
    """

    reference: float
    outputs: float
    passed: bool


def differences(reference: Arrays, outputs: Arrays, dtype: Any = np.float32) -> list[Difference]:
    """How far outputs are from what they should be, one entry for each.

    Args:
        reference: the outputs as they should be, each of shape (n, …).
        outputs: those of the other side.
        dtype: what both sides compute in, or the coarser of the two: a float dtype.

    Returns:
        A difference for each output; one alone, which is infinite, where the sides have not the same number of outputs.
    """
    if len(reference) != len(outputs):
        return [Difference(float("inf"), float("inf"), float("inf"), BOUND)]
    epsilon = float(ml_dtypes.finfo(dtype).eps)  # type: ignore[no-untyped-call]
    bound = BOUND * epsilon / _EPSILON
    return [_difference(*pair, bound) for pair in zip(reference, outputs, strict=True)]


def alike(reference: Arrays, outputs: Arrays, dtype: Any = np.float32) -> bool:
    """Whether all outputs differ by rounding at most; see `differences`."""
    return all(each.passed for each in differences(reference, outputs, dtype))


def odd_samples(reference: Arrays, outputs: Arrays, count: int) -> NDArray[np.int64]:
    """The samples that differ most, so many at most, the most different one first.

    Args:
        reference: the outputs as they should be, each of shape (n, …).
        outputs: those of the other side, of the same shapes.
        count: how many samples.
    """
    found = np.zeros(len(reference[0]))
    for first, second in zip(reference, outputs, strict=True):
        own = np.sqrt(_squares(_gap(first, second)).samples)
        found = np.maximum(found, own / (own.mean() + _NOTHING))
    return np.argsort(-found, kind="stable")[:count]


def exactness(reference: Arrays, outputs: Arrays, exact: Arrays) -> list[Exactness]:
    """How far both sides are from exact arithmetic, one entry for each output.

    The exact outputs may be those of either side's graph: what a defect changed is near its own exact outputs, and the
    other side is far from them.

    Args:
        reference: the outputs as they should be, each of shape (n, …), float32.
        outputs: those of the other side, of the same shapes.
        exact: what the graph of either side gives in float64, of the same shapes.

    Raises:
        ValueError: the shapes are not the same.
    """
    if [each.shape for each in exact] != [each.shape for each in reference]:
        raise ValueError(f"in float64 the outputs have the shapes {', '.join(str(each.shape) for each in exact)}")
    return [_exactness(*each) for each in zip(reference, outputs, exact, strict=True)]


@dataclass(frozen=True)
class _Squares:
    """Mean squares: of shape (n,) over each sample, and of shape (n, size) over each place along each other axis."""

    samples: NDArray[np.float64]
    places: list[NDArray[np.float64]]

    @property
    def whole(self) -> float:
        """The root mean square of all numbers."""
        return float(np.sqrt(self.samples.mean()))

    def typical(self) -> NDArray[np.float64]:
        """The root mean square at each place, without the worst samples."""
        return self._roots([np.quantile(each, _TYPICAL, axis=0, method="lower") for each in self.places])

    def sizes(self) -> NDArray[np.float64]:
        """The root mean square at each place, of all samples."""
        return self._roots([each.mean(axis=0) for each in self.places])

    def _roots(self, parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.sqrt(np.concatenate(parts)) if parts else np.zeros(1)


def _squares(values: NDArray[np.float64]) -> _Squares:
    squares = np.square(values)
    axes = range(1, values.ndim)
    return _Squares(
        squares.mean(axis=tuple(axes)),
        [squares.mean(axis=tuple(other for other in axes if other != axis)) for axis in axes],
    )


def _gap(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """The difference of each number; zero where both are the same infinity, or no number."""
    first, second = np.atleast_1d(first).astype(np.float64), np.atleast_1d(second).astype(np.float64)
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    return np.where(same, 0.0, np.subtract(first, second, where=~same, out=np.zeros_like(first)))


def _difference(reference: NDArray[Any], outputs: NDArray[Any], bound: float) -> Difference:
    if reference.shape != outputs.shape:
        return Difference(float("inf"), float("inf"), float("inf"), bound)
    if not reference.size:
        return Difference(0.0, 0.0, 0.0, bound)
    gap = _gap(reference, outputs)
    largest = float(np.abs(gap).max(initial=0.0))
    if _whole(reference) and _whole(outputs):
        squares, size, sizes, bound = _squares((gap != 0).astype(np.float64)), 1.0, np.ones(1), np.sqrt(_TURNED)
    else:
        squares = _squares(gap)
        size, sizes = _size(reference)
    # A channel of numbers near zero still has the rounding of larger numbers that it was made from.
    channels = squares.typical() / (sizes + _EPSILON / BOUND * size + _NOTHING)
    return Difference(largest, squares.whole / (size + _NOTHING), float(channels.max(initial=0.0)), float(bound))


def _exactness(reference: NDArray[Any], outputs: NDArray[Any], exact: NDArray[Any]) -> Exactness:
    size, sizes = _size(exact)
    sides = [_squares(_gap(each, exact)) for each in (reference, outputs)]
    passed = True
    for far, near in (sides, sides[::-1]):
        least = _EPSILON * size
        # What rounding makes of a channel is not less than what it makes of the whole output, for its size.
        channels = np.maximum(near.typical(), near.whole / (size + _NOTHING) * sizes)
        passed &= far.whole <= FACTOR * near.whole + least
        passed &= bool((far.typical() <= FACTOR * channels + least).all())
    first, second = (each.whole / (size + _NOTHING) for each in sides)
    return Exactness(first, second, bool(passed))


def _size(values: NDArray[Any]) -> tuple[float, NDArray[np.float64]]:
    """The root mean square of an output, and that of each place along its axes, of what is finite."""
    finite = np.where(np.isfinite(values), values, 0.0)
    squares = _squares(np.atleast_1d(finite).astype(np.float64))
    return squares.whole, squares.sizes()


def _whole(values: NDArray[Any]) -> bool:
    """Whether all numbers are whole ones, such as class indices."""
    return bool(np.issubdtype(values.dtype, np.integer) or (np.isfinite(values) & (np.rint(values) == values)).all())
