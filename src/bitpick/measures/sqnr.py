"""Signal over quantization noise, accumulated batch by batch: memory does not grow with the number of samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PERCENTILE = 99.99
_LOOKED_AT = 200_000  # numbers of one batch that its percentile is found among


def weights(reference: NDArray[np.float32], found: NDArray[np.float32]) -> float | None:
    """Signal over noise of a weight, as its output channels have it: each counts the same, however large it is.

    In a sum over the whole tensor a channel far larger than the others would be all of the signal, and would hide that
    on its scale nothing is left of them.

    Args:
        reference: the float weight of shape (outputs, …).
        found: what is stored of it, dequantized, of the same shape.

    Returns:
        -10·log₁₀ of the mean over channels of noise over signal; None where there is no noise, or no signal.
    """
    whole = reference.reshape(len(reference), -1).astype(np.float64)
    noise = ((whole - found.reshape(len(found), -1)) ** 2).sum(axis=1)
    signal = (whole**2).sum(axis=1)
    ratio = float((noise[signal > 0] / signal[signal > 0]).mean()) if signal.any() else 0.0
    return -10 * math.log10(ratio) if ratio else None


@dataclass
class Noise:
    """Sums over what was added so far.

    Attributes:
        signal: sum of the squares of the reference.
        noise: sum of the squares of the difference.
        largest: the largest magnitude in the reference.
    """

    signal: float = 0.0
    noise: float = 0.0
    largest: float = 0.0
    _percentiles: float = 0.0
    _batches: int = 0

    def add(self, reference: NDArray[np.float32], found: NDArray[np.float32]) -> None:
        """Add a tensor, or a batch of it, of any shape; both of the same."""
        whole = reference.astype(np.float64).ravel()
        if not whole.size:
            return
        difference = whole - found.ravel()
        self.signal += float(whole @ whole)
        self.noise += float(difference @ difference)
        magnitudes = np.abs(whole)
        self.largest = max(self.largest, float(magnitudes.max()))
        step = max(1, len(magnitudes) // _LOOKED_AT)
        self._percentiles += float(np.percentile(magnitudes[::step], PERCENTILE))
        self._batches += 1

    @property
    def decibels(self) -> float | None:
        """10·log₁₀ of signal over noise; None where there is no noise, or no signal."""
        if not self.noise or not self.signal:
            return None
        return 10 * math.log10(self.signal / self.noise)

    @property
    def outlier_ratio(self) -> float | None:
        """The largest magnitude over the 99.99th percentile, the mean of the batches'; None where that is 0."""
        return self.largest * self._batches / self._percentiles if self._percentiles else None
