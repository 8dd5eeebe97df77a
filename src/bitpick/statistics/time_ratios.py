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


def ratio(other: Sequence[ArrayLike], reference: Sequence[ArrayLike]) -> Ratio:
    """What pairs of blocks, timed one after the other in several processes, say of two builds.

    Each process gives one number, the median of the logarithms of its pairs' ratios: blocks that were interrupted do
    not move it, and what a process has of its own, such as where its memory lies, all its pairs share. The ratio is the
    mean of these numbers, and its interval Student's, with one degree of freedom less than there are processes.

    Args:
        other: times of a build's blocks: those of each process, of shape (pairs,).
        reference: times of the blocks that they are paired with.
    """
    each = [np.median(np.log(np.divide(a, b))) for a, b in zip(other, reference, strict=True)]
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
