"""The channels of an output: its values along the axis on which their scales differ.

An output may hold boxes in pixels next to scores from 0 to 1. A mean over both would say nothing about the scores, so
the error of each channel is measured separately, relative to the scale of that channel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALONE = 64  # up to this many channels are measured one by one; more are grouped by scale
WEAK, WEAK_SHARE = 1e-4, 0.01  # share of the widest channel's range: a narrower channel is practically constant
LEAST_SHARE = 0.05  # share of the widest range: the smallest scale for noise in values from 0 to 1
SAME, MOSTLY, FEW = 0.01, 0.99, 10  # see `dead_channels`
_UNLIKE, _MORE = 0.1, 1.1  # see `channels`
_BLOCK, _ENOUGH = 2_000_000, 20_000_000  # values processed at a time, and of one channel, see `dead_channels`


@dataclass(frozen=True)
class Channels:
    """The channels of an output, from the float model's values.

    Attributes:
        axis: of an array of shape (n, …); 0 if all values of a sample are one channel.
        groups: the channels that are measured together, because their scales are similar; each is in one group.
        floors: for each group, the smallest mean square to relate its noise to.
        signal: for each channel, whether it varies, compared with the widest one.
    """

    axis: int
    groups: tuple[NDArray[np.int64], ...]
    floors: NDArray[np.float64]
    signal: NDArray[np.bool_]

    def terms(self, expected: NDArray[Any], actual: NDArray[Any]) -> NDArray[np.float64]:
        """Return the contribution of each sample to the mean squares of noise and signal.

        Args:
            expected: the float model's output, of shape (n, …).
            actual: a build's output, of the same shape.

        Returns:
            Shape (n, 2 · groups): the noise of each group, then the signal of each.
        """
        count = len(self.groups)
        terms = np.empty((len(expected), 2 * count))
        for window in windows(expected):
            reference = expected[window].astype(np.float64)
            noise, signal = (_means(np.square(each), self.axis) for each in (actual[window] - reference, reference))
            for place, members in enumerate(self.groups):
                terms[window, place] = noise[:, members].mean(axis=1)
                terms[window, count + place] = signal[:, members].mean(axis=1)
        return terms

    def deviations(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute √(noise / signal) of each group from means of `terms`: shape (m, 2 · groups) to (m, groups)."""
        noise, signal = np.split(means, 2, axis=1)
        # An output that is always 0 has no scale: its noise itself counts.
        scale = np.maximum(signal, self.floors)
        deviations: NDArray[np.float64] = np.sqrt(noise / np.where(scale > 0, scale, 1.0))
        return deviations

    def label(self, group: int) -> str:
        """Name a group, e.g. `channel 4 of 7`; empty if there is only one channel."""
        count = len(self.signal)
        return "" if count == 1 else named(self.groups[group].tolist(), count, self.axis)


def named(members: Sequence[int], count: int, axis: int) -> str:
    """Name some channels of an axis, e.g. `channels 3, 17 and 35 more of 1,000 on axis 1`."""
    few = ", ".join(map(str, members[:3]))
    more = f" and {len(members) - 3:,} more" if len(members) > 3 else ""
    return f"channel{'s' if len(members) > 1 else ''} {few}{more} of {count:,} on axis {axis}"


def channels(expected: NDArray[Any]) -> Channels:
    """Find the channels of an output.

    Their axis is the one on which the scales of the float model's values differ most, by the standard deviation of the
    logarithm of the channels' root mean square, without zeros. It is the last axis unless another axis has a standard
    deviation that is above 0.1 and a tenth larger.

    A channel is *weak* if its range is less than 0.01% of the widest channel's; or less than 1%, among channels with
    all values from 0 to 1, such as a class that never occurs. The error of a weak channel is related to the scale of
    the strongest one. The other channels are measured one by one; from 65 channels on, those with scales within a
    factor of 2 are measured together.

    Args:
        expected: the float model's output for n samples, of shape (n, …).
    """
    axis = _axis(expected)
    squares, low, high = _scales(expected, axis)
    span, shares = high - low, (low >= 0) & (high <= 1)
    signal = np.zeros(len(span), np.bool_)
    groups, floors = [], []
    for kind, weak, least in ((shares, WEAK_SHARE, LEAST_SHARE), (~shares, WEAK, 0.0)):
        if not kind.any():
            continue
        widest = span[kind].max()
        strong = kind & (span > 0) & (span >= weak * widest) & (span >= WEAK * span.max())
        signal |= strong
        for members in _groups_by_scale(np.flatnonzero(strong), squares):
            groups.append(members)
            floors.append((least * widest) ** 2)
        if (rest := np.flatnonzero(kind & ~strong)).size:
            groups.append(rest)
            floors.append(squares[strong if strong.any() else slice(None)].max())
    return Channels(axis, tuple(groups), np.array(floors), signal)


def _groups_by_scale(members: NDArray[np.int64], squares: NDArray[np.float64]) -> Iterator[NDArray[np.int64]]:
    """Yield channels one by one, or in octaves of their root mean square if there are many."""
    if len(members) <= ALONE:
        yield from np.split(members, len(members)) if members.size else ()
        return
    octave = np.floor(np.log2(squares[members].max() / squares[members]) / 2)
    for number in np.unique(octave):
        yield members[octave == number]


def dead_channels(expected: NDArray[Any], actual: NDArray[Any]) -> list[int]:
    """Find the channels that vary in the float model but are constant, or saturated at one value, in a build.

    A channel is dead if 99% of the build's values are stuck: within 1% of the float model's standard deviation from
    their median; and if the float model's values for the same positions have at least half of the channel's variance.
    So a score that is 0 for most samples is alive as long as it follows the float model for the others. At least 10
    values of the float model must differ from its median by that much. If channels have more than 20 million values,
    evenly spaced samples are used.

    Args:
        expected: the float model's output, of shape (n, …).
        actual: the build's output, of the same shape.

    Returns:
        Their indices on `channels(expected).axis`.
    """
    all_channels = channels(expected)
    strong = np.flatnonzero(all_channels.signal)
    stride = max(1, -(-expected.size // (_ENOUGH * len(all_channels.signal))))
    expected, actual = expected[::stride], actual[::stride]
    step = max(1, _BLOCK * len(all_channels.signal) // max(1, expected.size))
    dead: list[int] = []
    for start in range(0, len(strong), step):
        places = strong[start : start + step]
        expected_values, actual_values = (_columns(each, all_channels.axis, places) for each in (expected, actual))
        tolerance = SAME * expected_values.std(axis=0)
        varies = (np.abs(expected_values - np.median(expected_values, axis=0)) > tolerance).sum(axis=0) >= min(
            FEW, len(expected_values) // 2
        )
        stuck = np.abs(actual_values - np.median(actual_values, axis=0)) <= tolerance
        for place in np.flatnonzero(varies & (stuck.mean(axis=0) >= MOSTLY)):
            values = expected_values[:, place]
            if values[stuck[:, place]].var() >= values.var() / 2:
                dead.append(int(places[place]))
    return dead


def _columns(array: NDArray[Any], axis: int, places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the values of some channels, one column for each."""
    if axis == 0:
        return array.reshape(-1, 1).astype(np.float64)
    columns: NDArray[np.float64] = np.moveaxis(array, axis, -1)[..., places].astype(np.float64)
    return columns.reshape(-1, len(places))


def _axis(expected: NDArray[Any]) -> int:
    """Return the axis of the channels, see `channels`."""
    axes = [axis for axis in range(1, expected.ndim) if expected.shape[axis] > 1]
    if len(axes) < 2:
        return axes[0] if axes else 0
    spread = {axis: _spread(_scales(expected, axis)[0]) for axis in axes}
    widest = max(axes, key=lambda axis: spread[axis])
    return widest if spread[widest] > max(_UNLIKE, _MORE * spread[axes[-1]]) else axes[-1]


def _spread(squares: NDArray[np.float64]) -> float:
    nonzero = squares[squares > 0]
    return float(np.log(nonzero).std()) if nonzero.size else 0.0


def _scales(expected: NDArray[Any], axis: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean square, smallest and largest value of each channel, of shape (channels,)."""
    count = 1 if axis == 0 else expected.shape[axis]
    others = tuple(each for each in range(expected.ndim) if each != axis or axis == 0)
    squares, low, high = np.zeros(count), np.full(count, np.inf), np.full(count, -np.inf)
    for window in windows(expected):
        block = expected[window].astype(np.float64)
        squares += np.square(block).mean(axis=others) * (len(block) / len(expected))
        low, high = np.minimum(low, block.min(axis=others)), np.maximum(high, block.max(axis=others))
    return squares, low, high


def _means(block: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Average the values of each sample's channels: shape (n, …) to (n, channels)."""
    if axis == 0:
        block, axis = block.reshape(len(block), 1, -1), 1
    means: NDArray[np.float64] = block.mean(axis=tuple(each for each in range(1, block.ndim) if each != axis))
    return means


def windows(array: NDArray[Any]) -> Iterator[slice]:
    """Yield slices of an array of shape (n, …) that each hold a limited number of values."""
    step = max(1, _BLOCK * len(array) // max(1, array.size))
    for start in range(0, len(array), step):
        yield slice(start, start + step)
