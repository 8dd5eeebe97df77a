"""How much memory a piece of work takes of its process, at its peak."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_Result = TypeVar("_Result")
_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


def peak_growth(work: Callable[[], _Result]) -> tuple[_Result, int]:
    """Do some work, and tell how much the process's resident memory grew meanwhile, at its peak.

    On Linux the kernel keeps the peak, and is told to begin anew; elsewhere the growth at the end has to do.

    Args:
        work: what to do.

    Returns:
        What it returned, and bytes, at least 0.
    """
    import psutil

    process = psutil.Process()
    gc.collect()
    kept = _begin_anew()
    before = process.memory_info().rss
    done = work()
    after = process.memory_info().rss
    return done, max(0, after - before, (_peak() - before) if kept else 0)


def _begin_anew() -> bool:
    try:
        _RESET.write_text("5")  # see proc(5): resets the peak of resident memory
    except OSError:
        return False
    return True


def _peak() -> int:
    found = re.search(r"^VmHWM:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    return 1024 * int(found[1]) if found else 0
