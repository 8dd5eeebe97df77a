"""Two clocks for every block: wall time, which other processes disturb, and CPU time, which covers one process."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitpick.schema.speed import Clock

if sys.platform != "win32":
    import resource

# Below this share of CPU time, work runs elsewhere. On one thread, bitpick's engines are within 1% of 1.
_LEAST_CPU_SHARE = 0.9
_LEAST_DISTURBED = 0.9  # quantile of the blocks' shares of CPU time
_TICKS = 100  # the fewest ticks of the CPU clock in a block


class Block(NamedTuple):
    """The time of one run, as a mean over a block of runs.

    Attributes:
        wall: wall time in seconds.
        cpu: CPU time of the process in seconds, over all its threads.
        thread: CPU time of the calling thread in seconds.
        waits: how often the thread gave up its CPU to wait for something; nan if the system does not report it.
    """

    wall: float
    cpu: float
    thread: float
    waits: float


def now() -> Block:
    """Read the clocks; the difference of two readings is the time between them."""
    return Block(time.perf_counter(), time.process_time(), time.thread_time(), _waits())


def _waits() -> float:
    if sys.platform == "win32":
        return float("nan")
    who = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
    return float(resource.getrusage(who).ru_nvcsw)


def seconds(blocks: Sequence[Sequence[Block]], clock: str) -> list[list[float]]:
    """Return one clock, or any other field, of the blocks of each process."""
    return [[float(getattr(block, clock)) for block in each] for each in blocks]


@cache
def tick() -> float:
    """Measure the smallest step of the CPU clock in seconds; some systems report a finer one than they have."""
    steps = []
    for _ in range(3):
        start = time.process_time()
        while (end := time.process_time()) == start:
            pass
        steps.append(end - start)
    return min(steps)


def choose(builds: Mapping[str, NDArray[np.float64]], threads: int, seconds: float) -> tuple[Clock, str | None]:
    """Choose the clock for comparing builds, with the reason if it is wall time.

    A thread that calls a single-threaded runtime does all the work itself: then the CPU time of the process is the time
    of a run, however often the system interrupts it. It is not if work moves to other threads, which may run in
    parallel, or to another process or a device, which the thread waits for. A thread that waits gives up its CPU; an
    interrupted one does not. So the two cases differ even on a busy machine.

    Args:
        builds: the blocks of each build, of shape (n, 4), see `Block`, by the name for messages.
        threads: threads inside one inference.
        seconds: the shortest time of a block.
    """
    if threads > 1:
        return "wall", f"an inference has {threads} threads"
    if tick() * _TICKS > seconds:
        return "wall", f"the CPU clock of this system moves in steps of {1e3 * tick():.3g} ms"
    for name, blocks in builds.items():
        wall, cpu, thread, waits = blocks.T
        if thread.sum() < _LEAST_CPU_SHARE * cpu.sum():
            return "wall", f"{name} works on other threads than the one that calls it"
        if np.quantile(cpu / wall, _LEAST_DISTURBED) < _LEAST_CPU_SHARE and not np.median(waits) < 1:
            return "wall", f"{name} waits for work that is done elsewhere"
    return "cpu", None
