"""Signal over quantization noise, accumulated batch by batch, so that memory does not grow with the samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PERCENTILE = 99.99
_MAX_VALUES = 200_000  # the most numbers of a batch to compute a percentile from


def weights(reference: NDArray[np.float32], stored: NDArray[np.float32]) -> float | None:
    """Return the signal over noise of a weight, with equal weight for each output channel.

    In a sum over the whole tensor, a channel far larger than the others would make up all of the signal, and hide that
    its scale rounds the others to nothing.

    Args:
        reference: the float weight, of shape (outputs, …).
        stored: the stored weight, dequantized, of the same shape.

    Returns:
        -10·log₁₀ of the mean over channels of noise over signal; None without noise or signal.
    """
    floats = reference.reshape(len(reference), -1).astype(np.float64)
    noise = ((floats - stored.reshape(len(stored), -1)) ** 2).sum(axis=1)
    signal = (floats**2).sum(axis=1)
    ratio = float((noise[signal > 0] / signal[signal > 0]).mean()) if signal.any() else 0.0
    return -10 * math.log10(ratio) if ratio else None


@dataclass
class Noise:
    """Sums over the tensors added so far.

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

    def add(self, reference: NDArray[np.float32], actual: NDArray[np.float32]) -> None:
        """Add a tensor, or a batch of it, of any shape; both arrays have the same shape."""
        floats = reference.astype(np.float64).ravel()
        if not floats.size:
            return
        difference = floats - actual.ravel()
        self.signal += float(floats @ floats)
        self.noise += float(difference @ difference)
        magnitudes = np.abs(floats)
        self.largest = max(self.largest, float(magnitudes.max()))
        step = max(1, len(magnitudes) // _MAX_VALUES)
        self._percentiles += float(np.percentile(magnitudes[::step], PERCENTILE))
        self._batches += 1

    @property
    def decibels(self) -> float | None:
        """10·log₁₀ of signal over noise; None without noise or signal."""
        if not self.noise or not self.signal:
            return None
        return 10 * math.log10(self.signal / self.noise)

    @property
    def outlier_ratio(self) -> float | None:
        """The largest magnitude over the 99.99th percentile, averaged over batches; None if that percentile is 0."""
        return self.largest * self._batches / self._percentiles if self._percentiles else None
