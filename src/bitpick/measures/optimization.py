"""Whether what a runtime does to a graph when it opens a build changes what the build predicts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitpick.evidence import Unoptimized


def unoptimized(
    optimized: NDArray[np.integer], plain: NDArray[np.integer], targets: NDArray[np.integer]
) -> Unoptimized | None:
    """A build as it ships beside the same build on a graph that was left alone; None where no prediction differs.

    Args:
        optimized: classes of shape (n,), as the build ships.
        plain: classes of shape (n,), without the runtime's rewriting.
        targets: true classes of shape (n,).
    """
    flips = int((optimized != plain).sum())
    if not flips:
        return None
    return Unoptimized(
        samples=len(targets),
        correct=int((plain == targets).sum()),
        correct_optimized=int((optimized == targets).sum()),
        flips=flips,
    )
