"""How long a build takes: blocks of runs in a worker, and what pairs of blocks say of two builds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitpick.engines.engine import Session

BLOCK_SECONDS = 1e-3  # shorter ones are at the mercy of the clock and of interrupts
_WARM_SECONDS = 3.0
_STEADY = 0.02
WIDEST_CONTROL = 1.05

Verdict = Literal["faster", "slower", "no difference shown", "not resolvable on this machine"]


@dataclass
class _Open:
    session: Session
    native: Any
    repetitions: int = 1


# What this process has open for timing; a worker is started for it and ended after it.
_OPEN: dict[str, _Open] = {}


def hold(key: str, session: Session, batch: NDArray[np.float32]) -> None:
    """Keep a session and its prepared input, warm it up until it is steady, and size its blocks.

    Args:
        key: names it in `blocks`.
        session: an open build; the process ends with it open.
        batch: its input, of shape (n, …), float32; preparing it is not timed.
    """
    held = _OPEN[key] = _Open(session, session.prepare(batch))
    while _block(held) * held.repetitions < BLOCK_SECONDS:
        held.repetitions *= 2
    recent: list[float] = []
    end = time.perf_counter() + _WARM_SECONDS
    while time.perf_counter() < end:
        recent = [*recent[-4:], float(np.median([_block(held) for _ in range(5)]))]
        if len(recent) == 5 and max(recent) <= min(recent) * (1 + _STEADY):
            return


def blocks(keys: Sequence[str]) -> list[float]:
    """Time one block of each key, in the order given: seconds for one run of the whole batch."""
    return [_block(_OPEN[key]) for key in keys]


def _block(held: _Open) -> float:
    run, native = held.session.run, held.native
    # The caches are another build's, and the reference, which runs most often, would have the warmer ones.
    for _ in range(max(2, held.repetitions // 2)):
        run(native)
    began = time.perf_counter()
    for _ in range(held.repetitions):
        run(native)
    return (time.perf_counter() - began) / held.repetitions


@dataclass(frozen=True)
class Ratio:
    """How many times as fast a build is as the reference.

    Attributes:
        value: above 1 is faster: the median over pairs of the reference's time divided by the build's.
        interval: at 95%, by a bootstrap over processes, then pairs.
    """

    value: float
    interval: tuple[float, float]


def ratio(reference: Sequence[Sequence[float]], other: Sequence[Sequence[float]], seed: int = 0) -> Ratio:
    """What pairs of blocks, taken one after the other, say of two builds.

    Args:
        reference: seconds of its blocks: a list for each process, in the order of the pairs.
        other: seconds of the blocks that they are paired with.
        seed: of the bootstrap's draws.
    """
    logs = [np.log(np.asarray(a) / np.asarray(b)) for a, b in zip(reference, other, strict=True)]
    rng = np.random.default_rng(seed)
    drawn = np.empty(2000)
    for i in range(len(drawn)):
        processes = rng.integers(0, len(logs), len(logs))
        drawn[i] = np.median(np.concatenate([rng.choice(logs[p], len(logs[p])) for p in processes]))
    low, high = np.exp(np.quantile(drawn, [0.025, 0.975]))
    return Ratio(float(np.exp(np.median(np.concatenate(logs)))), (float(low), float(high)))


def verdict(found: Ratio, control: Ratio) -> Verdict:
    """What a ratio shows, given that of the reference against itself, measured in the same run.

    A control whose interval leaves out 1, or is wider than 5%, says that this machine cannot tell.
    """
    low, high = control.interval
    if low > 1 or high < 1 or high / low > WIDEST_CONTROL:
        return "not resolvable on this machine"
    if found.interval[0] > 1:
        return "faster"
    return "slower" if found.interval[1] < 1 else "no difference shown"
