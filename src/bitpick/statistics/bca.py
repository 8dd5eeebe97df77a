"""BCa (bias-corrected and accelerated) bootstrap intervals and tests."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitpick.errors import DataError
from bitpick.statistics.distributions import normal_cdf, normal_quantile, student_cdf, student_quantile

# With a larger share of undefined resamples, the others no longer represent all.
_MOST_UNDEFINED = 0.05
# The p-value of a larger score is too small for a double.
_FARTHEST = 38.0


@dataclass(frozen=True)
class Replicates:
    """A statistic on the original samples, on resamples of them, and with groups of them left out.

    Two statistics of the same samples, on the same resamples, can be subtracted.

    Attributes:
        value: on the original samples.
        drawn: on each resample, of shape (resamples,); not finite where the statistic has no value.
        left: with each group of samples left out in turn, of shape (groups,).
        count: number of samples; for a statistic that compares two kinds of samples, the number of the rarer kind.
    """

    value: float
    drawn: NDArray[np.float64]
    left: NDArray[np.float64]
    count: int

    def __sub__(self, other: Replicates) -> Replicates:
        return Replicates(self.value - other.value, self.drawn - other.drawn, self.left - other.left, self.count)

    def __neg__(self) -> Replicates:
        return Replicates(-self.value, -self.drawn, -self.left, self.count)

    @property
    def enough(self) -> bool:
        """Whether enough resamples have a value to represent all: at most 1 in 20 has none."""
        return self.undefined <= _MOST_UNDEFINED * len(self.drawn)

    def checked(self) -> Replicates:
        """Return the replicates unchanged, once they are known to be usable.

        Raises:
            DataError: the statistic is not finite on the original samples, or on too many resamples.
        """
        if not math.isfinite(self.value):
            raise DataError(f"the metric is {self.value} on the {self.count:,} samples", expected="a finite number")
        if not self.enough:
            raise DataError(
                f"the metric is undefined on {self.undefined:,} of {len(self.drawn):,} resamples",
                expected=f"at most {100 * _MOST_UNDEFINED:g}%",
                fix="evaluate on more samples of what is rare, or with a metric that does without",
            )
        return self

    @property
    def undefined(self) -> int:
        """Number of resamples on which the statistic has no value."""
        return int((~np.isfinite(self.drawn)).sum())

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the two-sided BCa interval (Efron, JASA 82 (1987), 171-185)."""
        return self._bound((1 - level) / 2), self._bound((1 + level) / 2)

    def p_under(self, margin: float) -> float:
        """Return the one-sided p-value of "the statistic is the margin or more".

        It is the level whose bound equals the margin, but never smaller than the number of resamples can resolve.
        """
        # An undefined resample is not under the margin.
        return self._p_value(float((self.drawn < margin).sum()))

    def p_zero(self) -> float:
        """Return the two-sided p-value of "the statistic is 0"; resamples on which it is 0 count half."""
        if not self.value and not np.any(self.drawn):
            return 1.0
        below = float((self.drawn < 0).sum()) + 0.5 * float((self.drawn == 0).sum())
        one_sided = self._p_value(below)
        return min(1.0, 2 * min(one_sided, 1 - one_sided + 1 / (len(self.drawn) + 1)))

    def score(self, margin: float) -> float:
        """Return the evidence that the statistic is under a margin: the normal quantile of `p_under`.

        Beyond what the number of resamples can resolve, it is the distance in standard errors.
        """
        under = int((self.drawn < margin).sum())
        resolved = -normal_quantile(self.p_under(margin)) if under else -_FARTHEST
        if 0 < under < len(self.drawn):
            return resolved
        error = float(np.std(self.drawn[np.isfinite(self.drawn)]))
        distance = (margin - self.value) / error if error > 0 else math.copysign(math.inf, margin - self.value)
        extrapolated = self._stretched(distance, back=True)
        return min(max(extrapolated, resolved), _FARTHEST) if under else max(min(extrapolated, 0.0), -_FARTHEST)

    @property
    def _shift(self) -> float:
        """BCa's z0: how far the resamples' median is from the value; resamples equal to the value count half."""
        drawn = self.drawn[np.isfinite(self.drawn)]
        # With all resamples on one side z0 would be infinite; half a resample added to each side keeps it finite.
        below = float((drawn < self.value).sum()) + 0.5 * float((drawn == self.value).sum())
        return normal_quantile((below + 0.5) / (len(drawn) + 1))

    @property
    def _skew(self) -> float:
        """BCa's acceleration, from a jackknife over groups of samples."""
        left = self.left[np.isfinite(self.left)]
        if len(left) == 0 or np.ptp(left) <= 1e-12 * np.abs(left).max(initial=0.0):  # rounding alone is not skew
            return 0.0
        deviations = left.mean() - left
        return float((deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5))

    def _bound(self, level: float) -> float:
        """Return the BCa bound with a share `level` of the confidence below it."""
        shift = self._shift
        z = shift + self._stretched(normal_quantile(level))
        drawn = self.drawn[np.isfinite(self.drawn)]
        return float(np.quantile(drawn, normal_cdf(shift + z / (1 - self._skew * z))))

    def _p_value(self, below: float) -> float:
        """Invert BCa: return the level whose one-sided bound has `below` resamples below it."""
        smallest_p = 1 / (len(self.drawn) + 1)
        share_below = below * smallest_p
        if share_below == 0:
            return 1.0
        skew, shift = self._skew, self._shift
        w = normal_quantile(share_below) - shift
        if 1 + skew * w <= 0:  # beyond the range of BCa
            return 1.0 if w < 0 else smallest_p
        return max(smallest_p, normal_cdf(-self._stretched(w / (1 + skew * w) - shift, back=True)))

    def _stretched(self, z: float, back: bool = False) -> float:
        """Convert a normal quantile to one for small samples, or back.

        A bootstrap's standard error is too small by √(1 - 1/n), and its quantiles are normal instead of Student's
        (T. C. Hesterberg, The American Statistician 69 (2015), 371-386).
        """
        if self.count < 2 or not math.isfinite(z):
            return z
        freedom, factor = self.count - 1, math.sqrt(self.count / (self.count - 1))
        # Use the near tail: its probability does not vanish in rounding.
        if back:
            return math.copysign(normal_quantile(student_cdf(-abs(z) / factor, freedom)), z)
        return math.copysign(student_quantile(normal_cdf(-abs(z)), freedom) * factor, z)
