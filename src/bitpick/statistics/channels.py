"""The channels of an output: its values by their place on one axis, which is where their scales differ.

An output may hold boxes in pixels beside scores from 0 to 1. A mean over both says nothing of the scores, so what is
lost is measured of each channel by itself, and held against that channel's own scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALONE = 64  # channels that are measured one by one; more are put together with those of like scale
WEAK, WEAK_SHARE = 1e-4, 0.01  # of the widest channel's range: a narrower channel is as good as constant
LEAST_SHARE = 0.05  # of the widest range: noise in shares, from 0 to 1, is never held against less
SAME, MOSTLY, FEW = 0.01, 0.99, 10  # see `died`
_UNLIKE, _MORE = 0.1, 1.1  # see `channels`
_BLOCK, _ENOUGH = 2_000_000, 20_000_000  # values that are looked at at once, and of a channel, see `died`


@dataclass(frozen=True)
class Channels:
    """The channels of an output, as the float model gives it.

    Attributes:
        axis: of an array of shape (n, …); 0 where a sample's values are one channel.
        groups: which channels are measured together, each group with like scales; every channel is in one of them.
        floors: of each group, the least mean square that its noise is held against.
        signal: whether each channel says anything: one that is nearly constant beside the widest one does not.
    """

    axis: int
    groups: tuple[NDArray[np.int64], ...]
    floors: NDArray[np.float64]
    signal: NDArray[np.bool_]

    def terms(self, expected: NDArray[Any], found: NDArray[Any]) -> NDArray[np.float64]:
        """What each sample adds to the mean squares of noise and of signal.

        Args:
            expected: what the float model gives, of shape (n, …).
            found: what a build gives, of the same shape.

        Returns:
            Shape (n, 2 · groups): the noise of each group, then the signal of each.
        """
        count = len(self.groups)
        terms = np.empty((len(expected), 2 * count))
        for window in windows(expected):
            whole = expected[window].astype(np.float64)
            noise, signal = (_means(np.square(each), self.axis) for each in (found[window] - whole, whole))
            for place, members in enumerate(self.groups):
                terms[window, place] = noise[:, members].mean(axis=1)
                terms[window, count + place] = signal[:, members].mean(axis=1)
        return terms

    def deviations(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        """√(noise / signal) of each group, from means of `terms`: shape (m, 2 · groups) to (m, groups)."""
        noise, signal = np.split(means, 2, axis=1)
        # Of an output that is always 0 the noise itself is what counts: there is no scale to hold it against.
        against = np.maximum(signal, self.floors)
        found: NDArray[np.float64] = np.sqrt(noise / np.where(against > 0, against, 1.0))
        return found

    def called(self, group: int) -> str:
        """A group in words, e.g. `channel 4 of 7`; empty where all is one channel."""
        count = len(self.signal)
        return "" if count == 1 else named(self.groups[group].tolist(), count, self.axis)


def named(members: Sequence[int], count: int, axis: int) -> str:
    """Some channels of an axis in words, e.g. `channels 3, 17 and 35 more of 1,000 on axis 1`."""
    few = ", ".join(map(str, members[:3]))
    more = f" and {len(members) - 3:,} more" if len(members) > 3 else ""
    return f"channel{'s' if len(members) > 1 else ''} {few}{more} of {count:,} on axis {axis}"


def channels(expected: NDArray[Any]) -> Channels:
    """Find the channels of an output.

    They are along the axis on which the scales of the float model's values differ most: by the standard deviation of
    the logarithm of the root mean square, of those that are not 0. It is the last axis unless another one's is more
    than 0.1 and larger by a tenth.

    A channel is *weak* if its range is less than 0.01% of the widest channel's, or, of channels whose values are all
    from 0 to 1, less than 1%: a class that never occurs. What a weak channel differs by is held against the scale of
    the strongest one. Each other channel is measured by itself; from 65 channels on those whose scales are within a
    factor of 2 are measured together.

    Args:
        expected: what the float model gives for n samples, of shape (n, …).
    """
    axis = _axis(expected)
    squares, low, high = _looked_at(expected, axis)
    span, shares = high - low, (low >= 0) & (high <= 1)
    signal = np.zeros(len(span), np.bool_)
    groups, floors = [], []
    for kind, weak, least in ((shares, WEAK_SHARE, LEAST_SHARE), (~shares, WEAK, 0.0)):
        if not kind.any():
            continue
        widest = span[kind].max()
        strong = kind & (span > 0) & (span >= weak * widest) & (span >= WEAK * span.max())
        signal |= strong
        for members in _alike(np.flatnonzero(strong), squares):
            groups.append(members)
            floors.append((least * widest) ** 2)
        if (rest := np.flatnonzero(kind & ~strong)).size:
            groups.append(rest)
            floors.append(squares[strong if strong.any() else slice(None)].max())
    return Channels(axis, tuple(groups), np.array(floors), signal)


def _alike(members: NDArray[np.int64], squares: NDArray[np.float64]) -> Iterator[NDArray[np.int64]]:
    """Channels one by one, or in octaves of their root mean square where they are many."""
    if len(members) <= ALONE:
        yield from np.split(members, len(members)) if members.size else ()
        return
    octave = np.floor(np.log2(squares[members].max() / squares[members]) / 2)
    for each in np.unique(octave):
        yield members[octave == each]


def died(expected: NDArray[Any], found: NDArray[Any]) -> list[int]:
    """The channels that vary in the float model and are constant in a build, or saturated at one value.

    A channel is dead if 99% of a build's values are within 1% of the float model's standard deviation of one value,
    and these values have at least half of the variance that the float model's channel has. So a score that is 0 for
    most samples is alive as long as it follows the float model for the others. At least 10 values of the float model
    must differ from its median by that much. Of channels with more than 20 million values evenly spaced samples are
    looked at.

    Args:
        expected: what the float model gives, of shape (n, …).
        found: what the build gives, of the same shape.

    Returns:
        Their places on `channels(expected).axis`.
    """
    known = channels(expected)
    strong = np.flatnonzero(known.signal)
    every = max(1, -(-expected.size // (_ENOUGH * len(known.signal))))
    expected, found = expected[::every], found[::every]
    step = max(1, _BLOCK * len(known.signal) // max(1, expected.size))
    dead: list[int] = []
    for start in range(0, len(strong), step):
        places = strong[start : start + step]
        whole, other = (_columns(each, known.axis, places) for each in (expected, found))
        tolerance = SAME * whole.std(axis=0)
        varies = (np.abs(whole - np.median(whole, axis=0)) > tolerance).sum(axis=0) >= min(FEW, len(whole) // 2)
        stuck = np.abs(other - np.median(other, axis=0)) <= tolerance
        for place in np.flatnonzero(varies & (stuck.mean(axis=0) >= MOSTLY)):
            values = whole[:, place]
            if values[stuck[:, place]].var() >= values.var() / 2:
                dead.append(int(places[place]))
    return dead


def _columns(array: NDArray[Any], axis: int, places: NDArray[np.int64]) -> NDArray[np.float64]:
    """The values of some channels, a column each."""
    if axis == 0:
        return array.reshape(-1, 1).astype(np.float64)
    chosen: NDArray[np.float64] = np.moveaxis(array, axis, -1)[..., places].astype(np.float64)
    return chosen.reshape(-1, len(places))


def _axis(expected: NDArray[Any]) -> int:
    """The axis of the channels, see `channels`."""
    axes = [axis for axis in range(1, expected.ndim) if expected.shape[axis] > 1]
    if len(axes) < 2:
        return axes[0] if axes else 0
    spread = {axis: _spread(_looked_at(expected, axis)[0]) for axis in axes}
    widest = max(axes, key=lambda axis: spread[axis])
    return widest if spread[widest] > max(_UNLIKE, _MORE * spread[axes[-1]]) else axes[-1]


def _spread(squares: NDArray[np.float64]) -> float:
    there = squares[squares > 0]
    return float(np.log(there).std()) if there.size else 0.0


def _looked_at(
    expected: NDArray[Any], axis: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean square, least and largest value of each channel, of shape (channels,)."""
    count = 1 if axis == 0 else expected.shape[axis]
    others = tuple(each for each in range(expected.ndim) if each != axis or axis == 0)
    squares, low, high = np.zeros(count), np.full(count, np.inf), np.full(count, -np.inf)
    for window in windows(expected):
        block = expected[window].astype(np.float64)
        squares += np.square(block).mean(axis=others) * (len(block) / len(expected))
        low, high = np.minimum(low, block.min(axis=others)), np.maximum(high, block.max(axis=others))
    return squares, low, high


def _means(block: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The mean of each sample's channels: shape (n, …) to (n, channels)."""
    if axis == 0:
        block, axis = block.reshape(len(block), 1, -1), 1
    found: NDArray[np.float64] = block.mean(axis=tuple(each for each in range(1, block.ndim) if each != axis))
    return found


def windows(array: NDArray[Any]) -> Iterator[slice]:
    """Slices of an array of shape (n, …), each of so many samples that their values stay few."""
    step = max(1, _BLOCK * len(array) // max(1, array.size))
    for start in range(0, len(array), step):
        yield slice(start, start + step)
