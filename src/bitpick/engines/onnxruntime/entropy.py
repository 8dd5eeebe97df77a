"""The ranges that lose the least information: Kullback-Leibler divergence between values and their 8-bit grid.

S. Migacz, "8-bit inference with TensorRT", GTC 2017, with the bin of zero replaced by its neighbour, as in NVIDIA's
pytorch-quantization. ONNX Runtime's own version (1.32) keeps that bin, and half of what a ReLU gives can be zeros: they
outweigh all other values, so that almost everything is clipped. It also gives a ReLU only half the levels that it has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEVELS = 256
_CANDIDATES = np.linspace(1 / 16, 1, 241)  # shares of the largest magnitude at which values are clipped
_NEVER = 1e-9  # a value that the grid cannot give has this probability instead of 0


def least_divergent(counts: NDArray[np.integer], edges: NDArray[np.floating], low: float, high: float) -> Any:
    """Return the range of a tensor whose 256 levels lose the least information.

    Args:
        counts: how many values are in each bin, shape (n,); n is even, and zero is where the second half starts.
        edges: ends of the bins, shape (n + 1,), ascending.
        low: the least value.
        high: the greatest value.

    Returns:
        Both ends of the range, as a tuple of two numbers of the dtype of `edges`; 0 is between them.
    """
    values, counted = (edges[:-1] + edges[1:]) / 2, counts.astype(np.float64)
    zero = len(counted) // 2
    counted[zero] = counted[zero + 1]
    low, high = min(low, 0.0), max(high, 0.0)
    clipped = [(max(low, -most), min(high, most)) for most in _CANDIDATES * max(-low, high)]
    divergences = [_divergence(counted, values, *ends) for ends in clipped]
    return tuple(map(edges.dtype.type, clipped[int(np.argmin(divergences))]))


def _divergence(counts: NDArray[np.float64], values: NDArray[np.floating], low: float, high: float) -> float:
    """Return how much less values on the grid of a range say than the values themselves, in nats."""
    start, stop = np.searchsorted(values, low), np.searchsorted(values, high, "right")
    inside = counts[start:stop]
    if len(inside) < _LEVELS:
        return float("inf")  # bins are too wide to tell the levels apart
    clipped = inside.copy()
    clipped[0] += counts[:start].sum()
    clipped[-1] += counts[stop:].sum()
    step = (high - low) / (_LEVELS - 1)
    levels = np.clip(np.round((values[start:stop] - low) / step), 0, _LEVELS - 1).astype(np.int64)
    occupied = clipped > 0
    share = np.bincount(levels, inside, _LEVELS) / np.maximum(np.bincount(levels, occupied, _LEVELS), 1)
    rounded = np.where(occupied, share[levels], 0)
    if not rounded.any():
        return float("inf")
    before, after = (each[occupied] / each.sum() for each in (clipped, rounded))
    return float((before * np.log(before / np.maximum(after, _NEVER))).sum())
