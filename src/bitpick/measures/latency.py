"""Measure latency: time blocks of runs in a worker, on two clocks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitpick.engines.engine import Session
from bitpick.measures import clocks
from bitpick.measures.clocks import Block
from bitpick.preprocessing import Arrays

BLOCK_SECONDS = 1e-3  # shorter blocks are at the mercy of the clock and of interrupts
_WARM_SECONDS = 3.0
_STEADY = 0.02
_FIRST_RUNS, _FIRST_SECONDS = 20, 0.5


@dataclass
class _Open:
    session: Session
    native: Any
    repetitions: int = 1


# The builds that this process has open for timing; a worker is started for them and ended afterwards.
_OPEN: dict[str, _Open] = {}


def hold(key: str, session: Session, batch: Arrays, warm_seconds: float = _WARM_SECONDS) -> None:
    """Keep a session with its prepared input, size its blocks, and warm it up until it is steady.

    Args:
        key: the name for `blocks`.
        session: an open build; it stays open until the process ends.
        batch: its input; preparing it is not timed.
        warm_seconds: the longest warm-up.
    """
    held = _OPEN[key] = _Open(session, session.prepare(batch))
    _warm_up(held.session, held.native, _FIRST_RUNS, warm_seconds)
    # The first runs and interrupted runs are slow; they must not make blocks too short.
    while min(_undisturbed(_block(held)) for _ in range(3)) * held.repetitions < BLOCK_SECONDS:
        held.repetitions *= 2
    recent: list[Any] = []
    end = time.perf_counter() + warm_seconds
    while time.perf_counter() < end:
        recent = [*recent[-4:], np.median([_block(held)[:2] for _ in range(5)], axis=0)]
        # Steady on either clock: on a busy machine wall time never is.
        if len(recent) == 5 and (np.max(recent, axis=0) <= np.min(recent, axis=0) * (1 + _STEADY)).any():
            return


def blocks(keys: Sequence[str]) -> list[Block]:
    """Time one block of each key, in this order, and return the time of one run of the batch."""
    return [_block(_OPEN[key]) for key in keys]


def time_batch(key: str, batch: Arrays, times: int) -> list[Block]:
    """Time runs of another batch in an open session, after a warm-up with its shape."""
    session = _OPEN[key].session
    native = session.prepare(batch)
    _warm_up(session, native, _FIRST_RUNS, _FIRST_SECONDS)
    return [_timed(session, native, 1) for _ in range(times)]


def _warm_up(session: Session, native: Any, runs: int, seconds: float) -> None:
    """Run without timing, up to a number of runs or seconds, but at least once."""
    end = time.perf_counter() + seconds
    for _ in range(runs):
        session.run(native)
        if time.perf_counter() > end:
            return


def _block(held: _Open) -> Block:
    # Warm the caches after the previous build; else the reference, which runs most often, would have an advantage.
    for _ in range(max(2, held.repetitions // 2)):
        held.session.run(held.native)
    return _timed(held.session, held.native, held.repetitions)


def _undisturbed(block: Block) -> float:
    """Return the time of an undisturbed run: its CPU time, unless it waits for something."""
    return block.cpu if block.waits < 1 else block.wall


def _timed(session: Session, native: Any, runs: int) -> Block:
    """Return the mean time of a number of runs."""
    run = session.run
    start = clocks.now()
    for _ in range(runs):
        run(native)
    end = clocks.now()
    return Block(*((after - before) / runs for before, after in zip(start, end, strict=True)))
