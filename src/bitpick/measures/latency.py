"""How long a build takes: blocks of runs in a worker, and what pairs of blocks say of two builds."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bitpick.engines.engine import Session
from bitpick.preprocessing import Arrays

BLOCK_SECONDS = 1e-3  # shorter ones are at the mercy of the clock and of interrupts
WIDEST_CONTROL = 1.05
_WARM_SECONDS = 3.0
_STEADY = 0.02
_FIRST_RUNS, _FIRST_SECONDS = 20, 0.5
_DRAWS = 2000

Verdict = Literal["faster", "slower", "no difference shown", "not resolvable on this machine"]


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
    while min(_block(held) for _ in range(3)) * held.repetitions < BLOCK_SECONDS:
        held.repetitions *= 2
    recent: list[float] = []
    end = time.perf_counter() + warm_seconds
    while time.perf_counter() < end:
        recent = [*recent[-4:], float(np.median([_block(held) for _ in range(5)]))]
        if len(recent) == 5 and max(recent) <= min(recent) * (1 + _STEADY):
            return


def blocks(keys: Sequence[str]) -> list[float]:
    """Time one block of each key, in the order given: seconds for one run of the whole batch."""
    return [_block(_OPEN[key]) for key in keys]


def many(key: str, batch: Arrays, times: int) -> list[float]:
    """Time runs of another batch through an open session, once it is used to its shape: seconds of each."""
    session = _OPEN[key].session
    native = session.prepare(batch)
    _untimed(session, native, _FIRST_RUNS, _FIRST_SECONDS)
    found = []
    for _ in range(times):
        began = time.perf_counter()
        session.run(native)
        found.append(time.perf_counter() - began)
    return found


def _untimed(session: Session, native: Any, runs: int, seconds: float) -> None:
    """Run so many times, or for so long, once at least."""
    end = time.perf_counter() + seconds
    for _ in range(runs):
        session.run(native)
        if time.perf_counter() > end:
            return


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
    """A build's time over that of another.

    Attributes:
        value: under 1 is faster: the median over pairs of blocks.
        interval: at 95%, by a bootstrap over processes, then pairs, widened for how few the processes are.
    """

    value: float
    interval: tuple[float, float]


def ratio(other: Sequence[Sequence[float]], reference: Sequence[Sequence[float]], seed: int = 0) -> Ratio:
    """What pairs of blocks, taken one after the other, say of two builds.

    Processes are drawn before pairs: what a process has, such as where its memory lies, all its pairs share. With few
    processes such a bootstrap is too narrow (A. C. Cameron, J. B. Gelbach and D. L. Miller, Review of Economics and
    Statistics 90 (2008), 414-427): of n it finds (n - 1)/n of their variance, and takes it as known. So its interval is
    widened by √(n/(n - 1)) and by Student's quantile with n - 1 degrees of freedom over the normal one.

    Args:
        other: seconds of a build's blocks: a list for each process, as many in each.
        reference: seconds of the blocks that they are paired with.
        seed: of the bootstrap's draws.
    """
    from scipy.stats import norm, t

    logs = np.log(np.asarray(other) / np.asarray(reference))
    processes, pairs = logs.shape
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, processes, (_DRAWS, processes, 1))
    within = rng.integers(0, pairs, (_DRAWS, processes, pairs))
    medians = np.median(logs[drawn, within].reshape(_DRAWS, -1), axis=1)
    middle = float(np.median(logs))
    few = max(processes, 2)
    wider = math.sqrt(few / (few - 1)) * t.ppf(0.975, few - 1) / norm.ppf(0.975)
    low, high = np.exp(middle + wider * (np.quantile(medians, [0.025, 0.975]) - middle))
    return Ratio(math.exp(middle), (float(low), float(high)))


def resolvable(control: Ratio) -> bool:
    """Whether this machine can tell, by the ratio of the reference to itself, measured in the same run.

    A control whose interval leaves out 1, or is wider than 5%, says that it cannot.
    """
    low, high = control.interval
    return low <= 1 <= high and high / low <= WIDEST_CONTROL


def verdict(found: Ratio, control: Ratio) -> Verdict:
    """What a ratio shows, given that of the reference to itself."""
    if not resolvable(control):
        return "not resolvable on this machine"
    if found.interval[1] < 1:
        return "faster"
    return "slower" if found.interval[0] > 1 else "no difference shown"
