"""Check that a build gives the same outputs on any number of threads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitpick.errors import EngineError
from bitpick.preprocessing import Arrays

SAMPLES = 8
# Share of an output's root mean square. Sums in another order change a few roundings; a kernel that is wrong on some
# number of threads changes everything.
_TOLERATED = 0.1


def check(alone: Arrays, together: Arrays, threads: int, names: Sequence[str]) -> None:
    """Refuse a build whose outputs depend on the number of threads.

    Args:
        alone: its outputs for some samples on one thread, each of shape (n, …).
        together: its outputs for the same samples on `threads` threads.
        threads: number of threads, more than one.
        names: names of the outputs, for messages.

    Raises:
        EngineError: an output differs by more than a tenth of its root mean square.
    """
    for name, one, many in zip(names, alone, together, strict=True):
        rms = max(float(np.sqrt(np.square(each, dtype=np.float64).mean())) for each in (one, many))
        difference = float(np.sqrt(np.square(one.astype(np.float64) - many).mean()))
        if difference > _TOLERATED * rms:
            raise EngineError(
                f"the runtime gives different answers on one thread and on {threads}: {name} differs by "
                f"{100 * difference / rms:.2g}% of its size (root mean square)",
                expected="the same answers on any number of threads",
                fix="this is a defect of the runtime: use another recipe or engine",
            )
