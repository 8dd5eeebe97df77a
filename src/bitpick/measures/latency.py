"""How long a build takes: blocks of runs in a worker, by two clocks."""

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

BLOCK_SECONDS = 1e-3  # shorter ones are at the mercy of the clock and of interrupts
_WARM_SECONDS = 3.0
_STEADY = 0.02
_FIRST_RUNS, _FIRST_SECONDS = 20, 0.5


@dataclass
class _Open:
    session: Session
    native: Any
    repetitions: int = 1


# What this process has open for timing; a worker is started for it and ended after it.
_OPEN: dict[str, _Open] = {}


def hold(key: str, session: Session, batch: Arrays, warm_seconds: float = _WARM_SECONDS) -> None:
    """Keep a session and its prepared input, warm it up until it is steady, and size its blocks.

    Args:
        key: names it in `blocks`.
        session: an open build; the process ends with it open.
        batch: its input; preparing it is not timed.
        warm_seconds: for how long at most it is warmed up.
    """
    held = _OPEN[key] = _Open(session, session.prepare(batch))
    _untimed(held.session, held.native, _FIRST_RUNS, warm_seconds)
    # The first runs are slow, and so is one that is interrupted: neither must make blocks short.
    while min(_uninterrupted(_block(held)) for _ in range(3)) * held.repetitions < BLOCK_SECONDS:
        held.repetitions *= 2
    recent: list[Any] = []
    end = time.perf_counter() + warm_seconds
    while time.perf_counter() < end:
        recent = [*recent[-4:], np.median([_block(held)[:2] for _ in range(5)], axis=0)]
        # By either clock: on a busy machine wall time never is.
        if len(recent) == 5 and (np.max(recent, axis=0) <= np.min(recent, axis=0) * (1 + _STEADY)).any():
            return


def blocks(keys: Sequence[str]) -> list[Block]:
    """Time one block of each key, in the order given: what one run of the whole batch takes."""
    return [_block(_OPEN[key]) for key in keys]


def many(key: str, batch: Arrays, times: int) -> list[Block]:
    """Time runs of another batch through an open session, once it is used to its shape: what each takes."""
    session = _OPEN[key].session
    native = session.prepare(batch)
    _untimed(session, native, _FIRST_RUNS, _FIRST_SECONDS)
    return [_timed(session, native, 1) for _ in range(times)]


def _untimed(session: Session, native: Any, runs: int, seconds: float) -> None:
    """Run so many times, or for so long, once at least."""
    end = time.perf_counter() + seconds
    for _ in range(runs):
        session.run(native)
        if time.perf_counter() > end:
            return


def _block(held: _Open) -> Block:
    # The caches are another build's, and the reference, which runs most often, would have the warmer ones.
    for _ in range(max(2, held.repetitions // 2)):
        held.session.run(held.native)
    return _timed(held.session, held.native, held.repetitions)


def _uninterrupted(block: Block) -> float:
    """What a run takes when nothing else goes first: its CPU time, unless it waits for something itself."""
    return block.cpu if block.waits < 1 else block.wall


def _timed(session: Session, native: Any, runs: int) -> Block:
    """What one of so many runs takes, as their mean."""
    run = session.run
    began = clocks.now()
    for _ in range(runs):
        run(native)
    ended = clocks.now()
    return Block(*((after - before) / runs for before, after in zip(began, ended, strict=True)))
