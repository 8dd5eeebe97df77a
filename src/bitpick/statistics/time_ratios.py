"""The ratio of two builds' times, and what the reference beside itself says of how far to trust it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bitpick.statistics.distributions import student_quantile


@dataclass(frozen=True)
class Ratio:
    """A build's time over that of another.

    Attributes:
        value: under 1 is faster.
        interval: at 95%; None where one process is all there was.
    """

    value: float
    interval: tuple[float, float] | None


def of_pairs(other: Sequence[ArrayLike], reference: Sequence[ArrayLike]) -> Ratio:
    """What pairs of blocks, timed one after the other in several processes, say of two builds: for wall time.

    Each process gives one number, the median of the logarithms of its pairs' ratios. Blocks that were interrupted do
    not move it, and what lasts longer than a pair stretches both of it alike.

    Args:
        other: times of a build's blocks: those of each process, of shape (pairs,).
        reference: times of the blocks that they are paired with.
    """
    return _of_processes([np.median(np.log(np.divide(a, b))) for a, b in zip(other, reference, strict=True)])


def of_least(other: Sequence[ArrayLike], reference: Sequence[ArrayLike]) -> Ratio:
    """What the least disturbed blocks of two builds, in several processes, say of them: for CPU time.

    Others can only add to the CPU time of a process: what they leave in the caches is not its own. So each process
    gives one number, the logarithm of the ratio of the least times of its blocks (as Python's `timeit` advises).

    Args:
        other: times of a build's blocks: those of each process, of shape (blocks,).
        reference: times of as many blocks, taken over the same while.
    """
    return _of_processes([np.log(np.min(a) / np.min(b)) for a, b in zip(other, reference, strict=True)])


def least(times: Sequence[ArrayLike]) -> float:
    """The time of the least disturbed block, as a mean over processes; 0 where a coarse clock saw nothing."""
    return float(np.mean([np.min(each) for each in times]))


def _of_processes(each: Sequence[float]) -> Ratio:
    """The mean of processes and its interval, by Student's t.

    What a process has of its own, such as where its memory lies, all its blocks share: so there are as many numbers as
    there are processes, however many blocks there are.
    """
    middle = float(np.mean(each))
    if len(each) < 2:
        return Ratio(math.exp(middle), None)
    half = float(student_quantile(0.975, len(each) - 1) * np.std(each, ddof=1) / math.sqrt(len(each)))
    return Ratio(math.exp(middle), (math.exp(middle - half), math.exp(middle + half)))


def widened(found: Ratio, control: Ratio) -> Ratio:
    """A ratio with its interval as wide as the control makes it.

    The control is the reference beside itself, which should be 1. How far its interval reaches from 1, to the farther
    side, is what this machine may have done to any ratio of the run: its own bias and its own spread. On the scale of
    logarithms that and the half-width of the ratio's interval are added as errors are that know nothing of each other:
    the root of the sum of their squares.

    Args:
        found: a ratio to the reference.
        control: the reference's ratio to itself, measured in the same processes, by the same clock.
    """
    if found.interval is None or control.interval is None:
        return Ratio(found.value, None)
    astray = max(abs(math.log(end)) for end in control.interval)
    wider = math.exp(math.hypot(math.log(found.interval[1] / found.value), astray))
    return Ratio(found.value, (found.value / wider, found.value * wider))
