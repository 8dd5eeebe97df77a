"""Processes of their own for what cannot share one: PyTorch, TensorFlow and the engines' runtimes."""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

from tests.zoo import models
from tests.zoo.entry import ENTRIES, Entry, Made
from tests.zoo.oracle.checks import Truth, faults

_MAKERS = {"torch": "torch", "keras": "tensorflow", "litert": "tensorflow"}
_RUNTIMES = {
    "openvino": "openvino",
    "litert": "litert",
    "keras": "tensorflow",
    "pytorch_fx": "torch",
    "pytorch_pt2e": "torch",
    "executorch": "torch",
}


def made(entry: Entry, folder: Path) -> Made:
    """Make an entry's model and data where its framework may be loaded."""
    if entry.framework not in _MAKERS:
        return entry.make(folder)
    return _process(_MAKERS[entry.framework]).submit(_make, entry.name, folder).result()


def false_in(run: Path, truth: Truth, engine: str) -> Sequence[str]:
    """What the oracle finds false in an engine's rows, with its runtime in a process of its own."""
    if engine not in _RUNTIMES:
        return faults(run, truth, [engine])
    return _process(_RUNTIMES[engine]).submit(faults, run, truth, [engine]).result()


def _make(name: str, folder: Path) -> Made:
    models.load()
    return ENTRIES[name].make(folder)


@cache
def _process(name: str) -> ProcessPoolExecutor:
    pool = ProcessPoolExecutor(1, get_context("spawn"))
    atexit.register(pool.shutdown, cancel_futures=True)
    return pool
