"""A mean over few random draws and many samples, crossed: what a recipe loses, whichever draw it is calibrated on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitpick.statistics.distributions import normal_quantile, student_quantile


@dataclass(frozen=True)
class MeanOverDraws:
    """A mean over draws and samples.

    Attributes:
        value: the mean.
        centre: the mean with one more sample of +1 and one of -1, which bounds are laid around.
        draws: how many.
        draw_error: standard error of the mean that comes from the draws.
        sample_error: standard error that comes from the samples, and from how draws and samples go together.
    """

    value: float
    centre: float
    draws: int
    draw_error: float
    sample_error: float

    def half_width(self, level: float) -> float:
        """Distance of a one-sided bound from the centre, e.g. for level 0.025.

        Each source of error has a quantile of its own, Student's t for the few draws and the normal one for the many
        samples, and their squares are added (W. G. Howe, JASA 69 (1974), 789-794; as MOVER: Zou and Donner, Statistics
        in Medicine 27 (2008), 1693-1702).
        """
        by_draw = -student_quantile(level, self.draws - 1) * self.draw_error
        return math.copysign(math.hypot(by_draw, normal_quantile(level) * self.sample_error), 0.5 - level)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The mean of all draws on all samples is within these bounds, at this level, two-sided."""
        half = self.half_width((1 - level) / 2)
        return self.centre - half, self.centre + half

    def shown_under(self, margin: float, alpha: float) -> bool:
        """Whether the mean is shown to be less than a margin, at the one-sided level alpha."""
        return self.centre + self.half_width(alpha) < margin


def mean_over_draws(losses: NDArray[np.number], added: int = 2) -> MeanOverDraws:
    """The mean over draws and samples, both random, where every draw meets the same samples.

    A two-way random-effects model without replication: a loss is mean + draw + sample + rest, and the variances of the
    parts follow from the mean squares (Searle, Casella and McCulloch, Variance Components, 1992, chapter 4). That all
    sources of variation count is Bouthillier et al., MLSys 2021 (arXiv 2103.03098). One sample of +1 and one of -1 are
    added, as Bonett and Price do for one draw (Journal of Educational and Behavioral Statistics 37 (2012), 479-488):
    losses that happen to be all alike are no certainty.

    Args:
        losses: what each draw loses on each sample, of shape (draws, samples): 1, 0 or -1. At least 2 draws.
        added: 2 samples, as said above; 0 where losses are other numbers, which are seldom all alike.

    Raises:
        ValueError: there are fewer than two draws.
    """
    draws, count = losses.shape
    if draws < 2:
        raise ValueError("the variance over draws needs two of them")
    samples = count + added
    by_draw = losses.sum(axis=1, dtype=np.float64) / samples
    centre = float(by_draw.mean())
    by_sample = losses.mean(axis=0, dtype=np.float64)
    # Sums of squares of the table with the two samples, whose squares are 1 and whose sum is 0.
    between_draws = samples * float(((by_draw - centre) ** 2).sum())
    between_samples = draws * (float((by_sample**2).sum()) + added - samples * centre**2)
    total = float(np.square(losses, dtype=np.float64).sum()) + added * draws - draws * samples * centre**2
    rest = max(0.0, total - between_draws - between_samples) / ((draws - 1) * (samples - 1))
    # The mean square of samples holds the rest too; so that it counts once, it leaves that of draws.
    of_draws = max(0.0, between_draws / (draws - 1) - rest) / (draws * samples)
    of_samples = between_samples / (samples - 1) / (draws * samples)
    return MeanOverDraws(
        value=float(losses.mean(dtype=np.float64)),
        centre=centre,
        draws=draws,
        draw_error=math.sqrt(of_draws),
        sample_error=math.sqrt(of_samples),
    )
