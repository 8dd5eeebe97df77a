"""Workers of these tests."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest


@pytest.fixture
def functions(monkeypatch):
    """The module `functions` beside this file, importable by workers."""
    monkeypatch.setenv(
        "PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep if "PYTHONPATH" in os.environ else None
    )
    return "functions"


def gone(pid: int, within: float = 5) -> bool:
    """Whether a process ends within some seconds."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False
