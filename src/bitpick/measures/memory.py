"""Measure the peak memory of a piece of work."""

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
    """Do some work, and measure how much the process's resident memory grew at its peak.

    On Linux the kernel tracks the peak, which is reset first; elsewhere the growth at the end has to do.

    Args:
        work: the function to call.

    Returns:
        The result of `work`, and the growth in bytes, at least 0.
    """
    import psutil

    process = psutil.Process()
    gc.collect()
    peak_is_tracked = _reset_peak()
    before = process.memory_info().rss
    result = work()
    after = process.memory_info().rss
    return result, max(0, after - before, (_peak() - before) if peak_is_tracked else 0)


def _reset_peak() -> bool:
    try:
        _RESET.write_text("5")  # see proc(5): resets the peak of resident memory
    except OSError:
        return False
    return True


def _peak() -> int:
    match = re.search(r"^VmHWM:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    return 1024 * int(match[1]) if match else 0
