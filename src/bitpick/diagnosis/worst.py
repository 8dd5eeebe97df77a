"""The evaluation samples that a build does most harm to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitpick.measures.fidelity import probabilities

MOST = 12


def harmed(
    floats: NDArray[np.float32], scores: NDArray[np.float32], targets: NDArray[np.int64], most: int = MOST
) -> NDArray[np.int64]:
    """Samples that the float32 gets right and the build does not, by what their true class loses in probability.

    Args:
        floats: the float32's scores of shape (n, classes).
        scores: the build's, of the same shape.
        targets: true classes of shape (n,).
        most: how many at most.

    Returns:
        Their places of shape (at most `most`,), the worst first.
    """
    places = np.flatnonzero((floats.argmax(axis=1) == targets) & (scores.argmax(axis=1) != targets))
    lost = (probabilities(floats) - probabilities(scores))[places, targets[places]]
    found: NDArray[np.int64] = places[np.argsort(-lost, kind="stable")][:most]
    return found
