"""Find the evaluation samples that a build harms most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitpick.measures.fidelity import probabilities

MOST = 12


def harmed(
    floats: NDArray[np.float32], scores: NDArray[np.float32], targets: NDArray[np.int64], most: int = MOST
) -> NDArray[np.int64]:
    """Return samples that only the float32 gets right, by how much probability their true class loses.

    Args:
        floats: the float32's scores of shape (n, classes).
        scores: the build's, of the same shape.
        targets: true classes of shape (n,).
        most: the largest number to return.

    Returns:
        Their indices, of shape (at most `most`,), the worst first.
    """
    indices = np.flatnonzero((floats.argmax(axis=1) == targets) & (scores.argmax(axis=1) != targets))
    lost = (probabilities(floats) - probabilities(scores))[indices, targets[indices]]
    worst_first: NDArray[np.int64] = indices[np.argsort(-lost, kind="stable")][:most]
    return worst_first
