"""A mean over a few random draws crossed with many samples: what a recipe loses over calibration draws."""

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
        centre: the centre of the bounds: the mean with one added sample of +1 and one of -1.
        draws: number of draws.
        draw_error: standard error of the mean due to the draws.
        sample_error: standard error of the mean due to the samples, and to the interaction of draws and samples.
    """

    value: float
    centre: float
    draws: int
    draw_error: float
    sample_error: float

    def half_width(self, level: float) -> float:
        """Return the distance of a one-sided bound from the centre, e.g. for level 0.025.

        Each source of error has its own quantile, Student's t for the few draws and the normal one for the many
        samples, and their squares add up (W. G. Howe, JASA 69 (1974), 789-794; as MOVER: Zou and Donner, Statistics
        in Medicine 27 (2008), 1693-1702).
        """
        by_draw = -student_quantile(level, self.draws - 1) * self.draw_error
        return math.copysign(math.hypot(by_draw, normal_quantile(level) * self.sample_error), 0.5 - level)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the two-sided interval of the mean over all possible draws and samples."""
        half = self.half_width((1 - level) / 2)
        return self.centre - half, self.centre + half

    def shown_under(self, margin: float, alpha: float) -> bool:
        """Whether the mean is shown to be under a margin, at the one-sided level alpha."""
        return self.centre + self.half_width(alpha) < margin


def mean_over_draws(losses: NDArray[np.number], added: int = 2) -> MeanOverDraws:
    """Estimate the mean over draws and samples, both random; every draw is evaluated on the same samples.

    This is a two-way random-effects model without replication: a loss is mean + draw + sample + rest, and the variances
    of the parts follow from the mean squares (Searle, Casella and McCulloch, Variance Components, 1992, chapter 4).
    Bouthillier et al., MLSys 2021 (arXiv 2103.03098) show why all sources of variation count. One sample of +1 and one
    of -1 are added, as Bonett and Price do for one draw (Journal of Educational and Behavioral Statistics 37 (2012),
    479-488), because losses that happen to be all equal do not mean certainty.

    Args:
        losses: the loss of each draw on each sample, of shape (draws, samples): 1, 0 or -1. At least 2 draws.
        added: number of added samples: 2, or 0 if losses are other numbers, which are seldom all equal.

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
    # Sums of squares include the two added samples, whose squares are 1 and whose sum is 0.
    between_draws = samples * float(((by_draw - centre) ** 2).sum())
    between_samples = draws * (float((by_sample**2).sum()) + added - samples * centre**2)
    total = float(np.square(losses, dtype=np.float64).sum()) + added * draws - draws * samples * centre**2
    rest = max(0.0, total - between_draws - between_samples) / ((draws - 1) * (samples - 1))
    # The mean square of samples includes the rest; subtracting it from that of draws counts it only once.
    of_draws = max(0.0, between_draws / (draws - 1) - rest) / (draws * samples)
    of_samples = between_samples / (samples - 1) / (draws * samples)
    return MeanOverDraws(
        value=float(losses.mean(dtype=np.float64)),
        centre=centre,
        draws=draws,
        draw_error=math.sqrt(of_draws),
        sample_error=math.sqrt(of_samples),
    )
