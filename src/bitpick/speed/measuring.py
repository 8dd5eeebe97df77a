"""The speed of a run's rows: each beside its own float32 and beside one reference for all, within a budget of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import Build
from bitpick.executors.executor import Executor
from bitpick.measures import clocks
from bitpick.measures.clocks import Block
from bitpick.pipeline.listener import Listener
from bitpick.schema.run import Flag, Row
from bitpick.schema.speed import ALIKE, Clock, Latency, Throughput
from bitpick.speed import lanes
from bitpick.speed.bench import Round, clock_of, ratio
from bitpick.speed.lanes import CONTROL, MANY, Lane, Lost
from bitpick.statistics import time_ratios
from bitpick.statistics.time_ratios import Ratio, widened

THREADS = 1
_LEAST_ROUNDS, _MOST_ROUNDS = 3, 10
_OVER = 1.5  # what a budget may be overdrawn by before rows give way


@dataclass(frozen=True)
class Speed:
    """What was measured of one row; `raw` holds every sample, in seconds and bytes."""

    latency: Latency
    throughput: Throughput | None
    memory_bytes: int | None
    raw: Mapping[str, object]


def measure(
    builds: Mapping[str, Build],
    reference: str,
    matters: Collection[str],
    samples: Samples,
    executor: Callable[[], Executor],
    budget: float,
    listener: Listener,
    seed: int = 0,
) -> tuple[dict[str, Speed], dict[str, str]]:
    """Time builds in rounds, each in fresh processes, for about as long as the budget says.

    In a round, the float32 and the quantized builds of an engine are open in one process, and the reference, where it
    is another engine's, in another; blocks of the reference, of the engine's float32 and of a build are timed next to
    each other in random order. The reference is open a second time, in yet another process where it is another
    engine's, as a control. Nothing else runs. After three rounds the rows that matter go on alone.

    Args:
        builds: by row id, the float32 of their engines among them.
        reference: the row that all are compared with.
        matters: rows that are timed in any case; the others give way where the budget is short. None is all.
        samples: where the input comes from.
        executor: makes the workers of a round.
        budget: seconds. Three rounds are done in any case.
        listener: is told how it goes.
        seed: of the order.

    Returns:
        What was measured, and why the rest was not, by row id.
    """
    every = lanes.lanes(builds, reference)
    untimed: dict[str, str] = {}
    rng = np.random.default_rng(seed)
    began = before = time.perf_counter()
    for number in range(_MOST_ROUNDS):
        if number == _LEAST_ROUNDS and matters:
            for lane in every:
                lane.narrow(matters)
        going = [lane for lane in every if lane.builds and not lane.ended]
        now = time.perf_counter()
        spent, last, before = now - began, now - before, now
        if not going or (number >= _LEAST_ROUNDS and spent + last > budget):
            break
        if number == 1 and matters and spent * _LEAST_ROUNDS > _OVER * budget:
            _give_way(going, {reference, *matters}, budget, untimed)
        listener.phase(f"timing, round {number + 1}")
        with Round(executor, THREADS) as opened:
            untimed |= lanes.start(opened, going, builds[reference], samples)
            for lane in going:
                seconds = budget / (2 * _LEAST_ROUNDS * len(going))
                untimed |= _raced(lane, opened, builds[reference], samples, seconds, rng)
    batch = min(samples.at_once(MANY), samples.count)
    found = {key: _speed(lane, key, reference, batch) for lane in every for key in lane.builds}
    return found, untimed


def _give_way(going: Sequence[Lane], matters: Collection[str], budget: float, untimed: dict[str, str]) -> None:
    why = f"its time went to the rows that may be recommended; --bench-seconds allows more than {budget:.3g}"
    for lane in going:
        own = lane.own if set(lane.builds) & set(matters) else None
        for key in [key for key in lane.builds if key not in matters and key != own]:
            untimed[key] = why
            del lane.builds[key]


def _raced(
    lane: Lane, opened: Round, reference: Build, samples: Samples, seconds: float, rng: np.random.Generator
) -> dict[str, str]:
    """Do a lane's part of a round, again without each build that is lost; returns why those are not timed."""
    untimed: dict[str, str] = {}
    while lane.builds and not lane.ended:
        try:
            lanes.race(lane, opened, reference, samples, seconds, rng)
            break
        except Lost as lost:
            lane.ended = lane.rounds >= _LEAST_ROUNDS
            if not lane.ended:
                untimed |= dict.fromkeys(lane.leave(lost.key), str(lost))
                untimed |= lanes.start(opened, [lane], reference, samples)
    return untimed


class _Measured:
    """What was measured of one row, beside those that were timed next to it.

    Args:
        lane: its lane.
        key: its id.
    """

    def __init__(self, lane: Lane, key: str) -> None:
        teams = [lane.times[key]] if key in lane.times else [team for team in lane.times.values() if key in team]
        self.blocks = [part for team in teams for part in team[key]]
        self._key = key
        self._team = lane.times.get(key, {})
        self._control = lane.times[CONTROL], lane.reference
        others = {"own_float32": lane.own, "reference": lane.reference}
        self._others = {name: other for name, other in others.items() if other and other != key and other in self._team}

    @property
    def paired(self) -> Sequence[Sequence[Block]]:
        """The blocks that were timed next to others: the row's, or of the reference those of the control."""
        return self._team.get(self._key) or self._control[0][CONTROL]

    def clock(self) -> tuple[Clock, str | None]:
        """The clock that suits the row and all that it is compared with, and why if it is wall time."""
        beside = {f"its {name}".replace("_", " "): self._team[other] for name, other in self._others.items()}
        return clock_of({"it": self.blocks} | beside, THREADS)

    def control(self, clock: Clock) -> Ratio:
        """The reference beside itself."""
        times, reference = self._control
        return ratio(times, CONTROL, reference, clock)

    def ratio(self, name: str, clock: Clock) -> Ratio | None:
        """To the row's own float32, or to the reference; None for that itself."""
        return ratio(self._team, self._key, self._others[name], clock) if name in self._others else None

    def raw(self, clock: str) -> dict[str, object]:
        """Every sample by one clock, the control's among them."""
        kept = {"row": self.blocks} | {name: self._team[other] for name, other in self._others.items()}
        told: dict[str, object] = {name: clocks.seconds(blocks, clock) for name, blocks in kept.items()}
        return told | {"control": {name: clocks.seconds(blocks, clock) for name, blocks in self._control[0].items()}}


def _speed(lane: Lane, key: str, reference: str, batch: int) -> Speed:
    """What the times of all rounds say of one row."""
    found = _Measured(lane, key)
    memory, many = lane.memory.get(key), lane.many.get(key)
    raw: dict[str, object] = {each: found.raw(each) for each in ("wall", "cpu", "thread")}
    raw |= {"unit": "seconds", "memory_bytes": memory}
    raw |= {"many": {each: clocks.seconds(many or [], each) for each in ("wall", "cpu", "thread")}}
    return Speed(_latency(found, reference), _throughput(many, batch), int(np.median(memory)) if memory else None, raw)


def _latency(found: _Measured, reference: str) -> Latency:
    clock, reason = found.clock()
    control = found.control(clock)
    assert control.interval is not None
    fields: dict[str, Any] = {}
    for name, field in (("own_float32", "ratio_own"), ("reference", "ratio_reference")):
        by_clock, by_wall = found.ratio(name, clock), found.ratio(name, "wall")
        if by_clock and by_wall:
            shown = widened(by_clock, control)
            fields |= {field: shown.value, f"{field}_interval": shown.interval, f"{field}_wall": by_wall.value}
    wall = np.concatenate(clocks.seconds(found.blocks, "wall"))
    return Latency(
        p50=float(np.quantile(wall, 0.5)),
        p90=float(np.quantile(wall, 0.9)),
        cpu_time=time_ratios.least(clocks.seconds(found.blocks, "cpu")),
        clock=clock,
        clock_reason=reason,
        reference=reference,
        control=control.value,
        control_interval=control.interval,
        threads=THREADS,
        processes=len(found.paired),
        pairs=sum(map(len, found.paired)),
        **fields,
    )


def _throughput(many: Sequence[Sequence[Block]] | None, batch: int) -> Throughput | None:
    """Samples a second, by the clock that suits runs of many."""
    if not many:
        return None
    clock: Clock = clock_of({"it": many}, THREADS)[0]
    taken = clocks.seconds(many, clock)
    middle = time_ratios.least(taken) if clock == "cpu" else float(np.median([np.median(part) for part in taken]))
    return Throughput(batch=batch, threads=THREADS, samples_per_second=batch / middle, clock=clock)


def with_speed(row: Row, speed: Speed) -> Row:
    """A row with its speed, flagged where it is shown to be slower than its own float32."""
    latency = speed.latency
    flags = row.faults
    # A difference smaller than what counts as alike is no reason to flag a row.
    if latency.ratio_own_interval is not None and latency.ratio_own_interval[0] > ALIKE:
        low, high = latency.ratio_own_interval
        text = f"takes {latency.ratio_own:.2f} times as long as its own float32 (95% interval {low:.2f} to {high:.2f})"
        flags.append(Flag(code="slower_than_float", text=text))
    measured = {"latency": latency, "throughput": speed.throughput, "memory_bytes": speed.memory_bytes}
    return row.model_copy(update=measured | {"flags": flags})


def with_times_of(row: Row, earlier: Row) -> Row:
    """A row with the times, and what follows from them, of another row of the same files."""
    slow = [flag for flag in earlier.flags if flag.code == "slower_than_float"]
    times = {name: getattr(earlier, name) for name in ("latency", "throughput", "memory_bytes")}
    return row.model_copy(update=times | {"flags": [*row.faults, *slow]})
