"""Whether a build answers the same on any number of threads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitpick.errors import EngineError
from bitpick.preprocessing import Arrays

SAMPLES = 8
# Of an output's own root mean square. Sums in another order turn a rounding here and there; a kernel that is wrong on
# some number of threads leaves nothing alike.
_TOLERATED = 0.1


def check(alone: Arrays, together: Arrays, threads: int, names: Sequence[str]) -> None:
    """Refuse a build whose outputs depend on the number of threads.

    Args:
        alone: its outputs for some samples on one thread, each of shape (n, …).
        together: its outputs for the same samples on `threads` threads.
        threads: more than one.
        names: what messages call each output.

    Raises:
        EngineError: an output differs by more than a tenth of its root mean square.
    """
    for name, one, many in zip(names, alone, together, strict=True):
        size = max(float(np.sqrt(np.square(each, dtype=np.float64).mean())) for each in (one, many))
        difference = float(np.sqrt(np.square(one.astype(np.float64) - many).mean()))
        if difference > _TOLERATED * size:
            raise EngineError(
                f"the runtime gives different answers on one thread and on {threads}: {name} differs by "
                f"{100 * difference / size:.2g}% of its size (root mean square)",
                expected="the same answers on any number of threads",
                fix="this is a defect of the runtime: use another recipe or engine",
            )
