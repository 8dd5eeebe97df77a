"""Measure the speed of a run's rows, beside their own float32 and a common reference, within a time budget."""

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
from bitpick.speed.lanes import CONTROL, MANY, Lane, OpenFailure
from bitpick.statistics import time_ratios
from bitpick.statistics.time_ratios import Ratio, widened

THREADS = 1
_LEAST_ROUNDS, _MOST_ROUNDS = 3, 10
_OVER = 1.5  # factor by which the budget may be exceeded before rows are dropped


@dataclass(frozen=True)
class Speed:
    """The speed of one row; `raw` holds every sample, in seconds and bytes."""

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
    """Time builds in rounds, each in fresh processes, for about as long as the budget allows.

    In a round, the float32 and the quantized builds of an engine are open in one process, and the reference, if it
    belongs to another engine, in another. Blocks of the reference, of the engine's float32 and of a build are timed
    next to each other in random order. The reference is opened a second time as a control, in yet another process if it
    belongs to another engine. Nothing else runs. After three rounds only the rows that matter are timed.

    Args:
        builds: the builds by row id, including the float32 of their engines.
        reference: the id of the row that all are compared with.
        matters: rows that are timed in any case; others are dropped if the budget is short. If empty, all matter.
        samples: the samples to run on.
        executor: makes the workers of a round.
        budget: seconds; three rounds are done in any case.
        listener: receives progress.
        seed: seed of the random order.

    Returns:
        The speed of each timed row, and the reason for each untimed row, by row id.
    """
    all_lanes = lanes.lanes(builds, reference)
    untimed: dict[str, str] = {}
    rng = np.random.default_rng(seed)
    start = previous = time.perf_counter()
    for round_number in range(_MOST_ROUNDS):
        if round_number == _LEAST_ROUNDS and matters:
            for lane in all_lanes:
                lane.narrow(matters)
        active = [lane for lane in all_lanes if lane.builds and not lane.ended]
        now = time.perf_counter()
        spent, last_round, previous = now - start, now - previous, now
        if not active or (round_number >= _LEAST_ROUNDS and spent + last_round > budget):
            break
        if round_number == 1 and matters and spent * _LEAST_ROUNDS > _OVER * budget:
            _drop_rows(active, {reference, *matters}, budget, untimed)
        listener.phase(f"timing, round {round_number + 1}")
        with Round(executor, THREADS) as opened:
            untimed |= lanes.start(opened, active, builds[reference], samples)
            for lane in active:
                seconds = budget / (2 * _LEAST_ROUNDS * len(active))
                untimed |= _run_lane(lane, opened, builds[reference], samples, seconds, rng)
    batch = min(samples.at_once(MANY), samples.count)
    speeds = {key: _speed(lane, key, reference, batch) for lane in all_lanes for key in lane.builds}
    return speeds, untimed


def _drop_rows(active: Sequence[Lane], matters: Collection[str], budget: float, untimed: dict[str, str]) -> None:
    reason = f"its time went to the rows that may be recommended; --bench-seconds allows more than {budget:.3g}"
    for lane in active:
        own = lane.own if set(lane.builds) & set(matters) else None
        for key in [key for key in lane.builds if key not in matters and key != own]:
            untimed[key] = reason
            del lane.builds[key]


def _run_lane(
    lane: Lane, opened: Round, reference: Build, samples: Samples, seconds: float, rng: np.random.Generator
) -> dict[str, str]:
    """Do a lane's part of a round, and repeat it without any build that fails; return why those are untimed."""
    untimed: dict[str, str] = {}
    while lane.builds and not lane.ended:
        try:
            lanes.time_round(lane, opened, reference, samples, seconds, rng)
            break
        except OpenFailure as failure:
            lane.ended = lane.rounds >= _LEAST_ROUNDS
            if not lane.ended:
                untimed |= dict.fromkeys(lane.leave(failure.key), str(failure))
                untimed |= lanes.start(opened, [lane], reference, samples)
    return untimed


class _Measured:
    """The times of one row, and of the builds timed next to it.

    Args:
        lane: the row's lane.
        key: the row's id.
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
        """The blocks timed next to others: the row's, or the control's if the row is the reference."""
        return self._team.get(self._key) or self._control[0][CONTROL]

    def clock(self) -> tuple[Clock, str | None]:
        """Return the clock that suits the row and everything it is compared with, and why if it is wall time."""
        others = {f"its {name}".replace("_", " "): self._team[other] for name, other in self._others.items()}
        return clock_of({"it": self.blocks} | others, THREADS)

    def control(self, clock: Clock) -> Ratio:
        """Return the control's time over the reference's."""
        times, reference = self._control
        return ratio(times, CONTROL, reference, clock)

    def ratio(self, name: str, clock: Clock) -> Ratio | None:
        """Return the row's time over its own float32's or the reference's; None if the row is that one."""
        return ratio(self._team, self._key, self._others[name], clock) if name in self._others else None

    def raw(self, clock: str) -> dict[str, object]:
        """Return every sample by one clock, including the control's."""
        blocks_by_name = {"row": self.blocks} | {name: self._team[other] for name, other in self._others.items()}
        samples: dict[str, object] = {name: clocks.seconds(blocks, clock) for name, blocks in blocks_by_name.items()}
        return samples | {"control": {name: clocks.seconds(blocks, clock) for name, blocks in self._control[0].items()}}


def _speed(lane: Lane, key: str, reference: str, batch: int) -> Speed:
    """Return the speed of one row from the times of all rounds."""
    measured = _Measured(lane, key)
    memory, many = lane.memory.get(key), lane.many.get(key)
    raw: dict[str, object] = {clock: measured.raw(clock) for clock in ("wall", "cpu", "thread")}
    raw |= {"unit": "seconds", "memory_bytes": memory}
    raw |= {"many": {clock: clocks.seconds(many or [], clock) for clock in ("wall", "cpu", "thread")}}
    return Speed(
        _latency(measured, reference), _throughput(many, batch), int(np.median(memory)) if memory else None, raw
    )


def _latency(measured: _Measured, reference: str) -> Latency:
    clock, reason = measured.clock()
    control = measured.control(clock)
    assert control.interval is not None
    fields: dict[str, Any] = {}
    for name, field in (("own_float32", "ratio_own"), ("reference", "ratio_reference")):
        by_clock, by_wall = measured.ratio(name, clock), measured.ratio(name, "wall")
        if by_clock and by_wall:
            estimate = widened(by_clock, control)
            fields |= {field: estimate.value, f"{field}_interval": estimate.interval, f"{field}_wall": by_wall.value}
    wall = np.concatenate(clocks.seconds(measured.blocks, "wall"))
    return Latency(
        p50=float(np.quantile(wall, 0.5)),
        p90=float(np.quantile(wall, 0.9)),
        cpu_time=time_ratios.least(clocks.seconds(measured.blocks, "cpu")),
        clock=clock,
        clock_reason=reason,
        reference=reference,
        control=control.value,
        control_interval=control.interval,
        threads=THREADS,
        processes=len(measured.paired),
        pairs=sum(map(len, measured.paired)),
        **fields,
    )


def _throughput(many: Sequence[Sequence[Block]] | None, batch: int) -> Throughput | None:
    """Return samples per second, by the clock that suits runs of many samples."""
    if not many:
        return None
    clock: Clock = clock_of({"it": many}, THREADS)[0]
    seconds = clocks.seconds(many, clock)
    typical = time_ratios.least(seconds) if clock == "cpu" else float(np.median([np.median(part) for part in seconds]))
    return Throughput(batch=batch, threads=THREADS, samples_per_second=batch / typical, clock=clock)


def with_speed(row: Row, speed: Speed) -> Row:
    """Return the row with its speed, and a flag if it is shown to be slower than its own float32."""
    latency = speed.latency
    flags = row.faults
    # A difference within ALIKE is no reason to flag a row.
    if latency.ratio_own_interval is not None and latency.ratio_own_interval[0] > ALIKE:
        low, high = latency.ratio_own_interval
        text = f"takes {latency.ratio_own:.2f} times as long as its own float32 (95% interval {low:.2f} to {high:.2f})"
        flags.append(Flag(code="slower_than_float", text=text))
    fields = {"latency": latency, "throughput": speed.throughput, "memory_bytes": speed.memory_bytes}
    return row.model_copy(update=fields | {"flags": flags})


def with_times_of(row: Row, earlier: Row) -> Row:
    """Return the row with the times of an earlier row of the same files, and the flag that follows from them."""
    slow = [flag for flag in earlier.flags if flag.code == "slower_than_float"]
    times = {name: getattr(earlier, name) for name in ("latency", "throughput", "memory_bytes")}
    return row.model_copy(update=times | {"flags": [*row.faults, *slow]})
