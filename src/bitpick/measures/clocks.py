"""Two clocks for every block: wall time, which other processes disturb, and CPU time, which knows of one process."""

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

# Below this share work has moved elsewhere. On one thread the engines that bitpick knows are within 1% of 1.
_MOST = 0.9
_LEAST_DISTURBED = 0.9  # the quantile of blocks by their share of CPU time
_TICKS = 100  # of the CPU clock, at least, in a block


class Block(NamedTuple):
    """What one run took, as a mean over a block of runs.

    Attributes:
        wall: seconds of wall time.
        cpu: seconds of CPU time of the process, all its threads.
        thread: seconds of CPU time of the thread that called.
        waits: how often the thread gave up its CPU to wait for something; not a number where the system does not tell.
    """

    wall: float
    cpu: float
    thread: float
    waits: float


def now() -> Block:
    """What the clocks show; the difference of two is what happened between them."""
    return Block(time.perf_counter(), time.process_time(), time.thread_time(), _waits())


def _waits() -> float:
    if sys.platform == "win32":
        return float("nan")
    who = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
    return float(resource.getrusage(who).ru_nvcsw)


def seconds(blocks: Sequence[Sequence[Block]], clock: str) -> list[list[float]]:
    """What one clock, or any other field of a block, says of the blocks of each process."""
    return [[float(getattr(block, clock)) for block in each] for each in blocks]


@cache
def tick() -> float:
    """The smallest step of this system's CPU clock, in seconds: what it says of itself is finer on some systems."""
    steps = []
    for _ in range(3):
        began = time.process_time()
        while (ended := time.process_time()) == began:
            pass
        steps.append(ended - began)
    return min(steps)


def choose(builds: Mapping[str, NDArray[np.float64]], threads: int, seconds: float) -> tuple[Clock, str | None]:
    """The clock for builds whose times are compared, and why if it is wall time.

    A thread that calls a runtime with one thread does all the work itself: the CPU time of the process is then what a
    run takes, however often the system lets others go first. It is not where work moves to other threads, which may
    run side by side, or to another process or a device, which the thread waits for. A thread that waits gives up its
    CPU; one that is interrupted does not. So the two can be told apart on a busy machine, too.

    Args:
        builds: the blocks of each, of shape (n, 4), see `Block`, by what messages call it.
        threads: inside one inference.
        seconds: what a block takes at least.
    """
    if threads > 1:
        return "wall", f"an inference has {threads} threads"
    if tick() * _TICKS > seconds:
        return "wall", f"the CPU clock of this system moves in steps of {1e3 * tick():.3g} ms"
    for name, blocks in builds.items():
        wall, cpu, thread, waits = blocks.T
        if thread.sum() < _MOST * cpu.sum():
            return "wall", f"{name} works on other threads than the one that calls it"
        if np.quantile(cpu / wall, _LEAST_DISTURBED) < _MOST and not np.median(waits) < 1:
            return "wall", f"{name} waits for work that is done elsewhere"
    return "cpu", None
