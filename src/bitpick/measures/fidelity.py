"""How alike the scores of two builds are, whatever the labels say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitpick.evidence import Fidelity

_LEAST = 1e-6  # a quantized softmax gives zeros, from which no divergence would be finite


def fidelity(reference: NDArray[np.float32], scores: NDArray[np.float32]) -> Fidelity:
    """Compare scores with a reference's for the same samples.

    Args:
        reference: scores of shape (n, classes), float32: probabilities, or what a softmax makes them of.
        scores: those of the other build, of the same shape.

    Returns:
        Agreement, mean divergence of the probabilities (those under 1e-6 count as that), signal over noise.
    """
    whole = reference.astype(np.float64)
    noise = float(((whole - scores) ** 2).sum())
    signal = float((whole**2).sum())
    expected, found = probabilities(reference), probabilities(scores)
    divergence = (expected * (np.log(expected) - np.log(found))).sum(axis=1)
    return Fidelity(
        agreement=float((reference.argmax(axis=1) == scores.argmax(axis=1)).mean()),
        kl=float(divergence.mean()),
        sqnr_db=10 * float(np.log10(signal / noise)) if noise and signal else None,
    )


def probabilities(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scores as probabilities: as they are where they nearly add up to 1, else by a softmax."""
    whole = scores.astype(np.float64)
    if whole.min() < 0 or np.abs(whole.sum(axis=1) - 1).max() > 0.05:
        shifted = np.exp(whole - whole.max(axis=1, keepdims=True))
        whole = shifted / shifted.sum(axis=1, keepdims=True)
    clipped = np.clip(whole, _LEAST, None)
    normal: NDArray[np.float64] = clipped / clipped.sum(axis=1, keepdims=True)
    return normal
