"""The ratio of two builds' times; the control, the reference against itself, shows how far to trust it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bitpick.statistics.distributions import student_quantile


@dataclass(frozen=True)
class Ratio:
    """A build's time over another's.

    Attributes:
        value: the ratio; under 1 is faster.
        interval: at 95%; None with only one process.
    """

    value: float
    interval: tuple[float, float] | None


def of_pairs(other: Sequence[ArrayLike], reference: Sequence[ArrayLike]) -> Ratio:
    """Compare two builds by pairs of adjacent blocks, in several processes; for wall time.

    Each process gives one number: the median of its pairs' log ratios. Interrupted blocks do not move it, and a
    disturbance longer than a pair slows both blocks alike.

    Args:
        other: times of a build's blocks: for each process, of shape (pairs,).
        reference: times of the blocks that they are paired with.
    """
    return _of_processes([np.median(np.log(np.divide(a, b))) for a, b in zip(other, reference, strict=True)])


def of_least(other: Sequence[ArrayLike], reference: Sequence[ArrayLike]) -> Ratio:
    """Compare two builds by their least disturbed blocks, in several processes; for CPU time.

    Other processes can only add to the CPU time of a process, because they evict its data from the caches. So each
    process gives one number: the log ratio of the minimum times of its blocks (as Python's `timeit` advises).

    Args:
        other: times of a build's blocks: for each process, of shape (blocks,).
        reference: times of as many blocks, from the same period.
    """
    return _of_processes([np.log(np.min(a) / np.min(b)) for a, b in zip(other, reference, strict=True)])


def least(times: Sequence[ArrayLike]) -> float:
    """Return the time of the least disturbed block, averaged over processes; 0 if the clock is too coarse."""
    return float(np.mean([np.min(each) for each in times]))


def _of_processes(log_ratios: Sequence[float]) -> Ratio:
    """Average over processes, with Student's t interval.

    All blocks of a process share its peculiarities, such as its memory layout. So the sample size is the number of
    processes, however many blocks there are.
    """
    mean = float(np.mean(log_ratios))
    if len(log_ratios) < 2:
        return Ratio(math.exp(mean), None)
    half_width = float(
        student_quantile(0.975, len(log_ratios) - 1) * np.std(log_ratios, ddof=1) / math.sqrt(len(log_ratios))
    )
    return Ratio(math.exp(mean), (math.exp(mean - half_width), math.exp(mean + half_width)))


def widened(ratio: Ratio, control: Ratio) -> Ratio:
    """Widen the interval of a ratio by what the control shows.

    The control is the reference against itself, and should be 1. The farther end of its interval, as a distance from 1,
    bounds what this machine may do to any ratio of the run: bias and spread. On a log scale, it is added to the
    half-width of the ratio's interval as an independent error: the root of the sum of squares.

    Args:
        ratio: a ratio to the reference.
        control: the reference's ratio to itself, measured in the same processes on the same clock.
    """
    if ratio.interval is None or control.interval is None:
        return Ratio(ratio.value, None)
    control_error = max(abs(math.log(end)) for end in control.interval)
    factor = math.exp(math.hypot(math.log(ratio.interval[1] / ratio.value), control_error))
    return Ratio(ratio.value, (ratio.value / factor, ratio.value * factor))
