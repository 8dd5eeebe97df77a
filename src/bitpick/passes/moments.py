"""Statistics of a layer's inputs that its weights are rounded by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bitpick.passes.layers import Layer
from bitpick.passes.walk import Inputs

_PATCHES = 200_000  # enough for the moments of a thousand numbers to settle
_PRODUCTS = 10**11  # limit of multiply-accumulates for a matrix of second moments
_INDEPENDENT = 10  # the patches of one sample say about as much as this many independent ones


@dataclass(frozen=True)
class Moments:
    """First and second moments of a layer's input patches: x in the float network, z behind the rounded layers.

    d is the number of weights of one output channel.

    Attributes:
        samples: how many samples the patches come from.
        mean: the mean of x, of shape (groups, 1, d).
        rounded_mean: the mean of z, of shape (groups, 1, d).
        mixed: the mean of x zᵀ, of shape (groups, d, d).
        second: the mean of z zᵀ, of shape (groups, d, d).
        float_second: the mean of x xᵀ, of shape (groups, d, d).
    """

    samples: int
    mean: NDArray[np.float64]
    rounded_mean: NDArray[np.float64]
    mixed: NDArray[np.float64]
    second: NDArray[np.float64]
    float_second: NDArray[np.float64]

    @classmethod
    def of(cls, layer: Layer, size: int, chunks: Sequence[Inputs]) -> Moments:
        """Return the moments over patches of a layer's inputs.

        Args:
            layer: the layer.
            size: d.
            chunks: its inputs, see `Walk.inputs`.
        """
        wanted = min(_PATCHES, max(10_000, _PRODUCTS // (layer.groups * size**2)))
        count, sums = 0, [0.0] * 5
        samples = sum(len(floats) for floats, _ in chunks)
        for number, sides in enumerate(chunks):
            each = -(-wanted // len(chunks))
            x, z = (np.moveaxis(layer.patches(side, each, np.random.default_rng(number)), 0, 1) for side in sides)
            x_transposed, z_transposed = np.swapaxes(x, 1, 2), np.swapaxes(z, 1, 2)
            products = x_transposed @ z, z_transposed @ z, x_transposed @ x
            means = (side.sum(axis=1, keepdims=True, dtype=np.float64) for side in (x, z))
            sums = [total + part for total, part in zip(sums, (*means, *products), strict=True)]
            count += x.shape[1]
        return cls(samples, *(np.asarray(total, np.float64) / count for total in sums))

    def centred(self) -> Moments:
        """Return the moments of x and z without their means."""
        mean, rounded = self.mean, self.rounded_mean
        transposed = np.swapaxes(mean, 1, 2), np.swapaxes(rounded, 1, 2)
        return Moments(
            self.samples,
            np.zeros_like(mean),
            np.zeros_like(rounded),
            self.mixed - transposed[0] * rounded,
            self.second - transposed[1] * rounded,
            self.float_second - transposed[0] * mean,
        )

    def shrunk(self) -> Moments:
        """Return moments that hold for other samples too: the fewer samples there are for d, the nearer to a diagonal.

        Estimated second moments fit the calibration samples better than any others. Shrinking them to their diagonal
        makes up for it (O. Ledoit, M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices",
        2004). The share d / (d + 10 samples) was chosen on two networks, with 100 and 1,000 samples.
        """
        size = self.second.shape[1]
        share = size / (size + _INDEPENDENT * self.samples)
        diagonal = self.second * np.eye(size)
        return replace(
            self,
            mixed=(1 - share) * self.mixed + share * diagonal,
            second=(1 - share) * self.second + share * diagonal,
        )
