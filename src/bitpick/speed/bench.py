"""Time builds beside a reference: in fresh processes, with all sessions open, and blocks in random order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from typing import Any

import numpy as np

from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import Build
from bitpick.engines.registry import engine
from bitpick.executors.executor import Executor, Payload
from bitpick.measures import clocks
from bitpick.measures.clocks import Block
from bitpick.measures.latency import BLOCK_SECONDS
from bitpick.pipeline.listener import Listener
from bitpick.schema.speed import BenchRecord, BenchRow, Clock, verdict
from bitpick.speed.bench_job import FUNCTIONS
from bitpick.statistics import time_ratios
from bitpick.statistics.time_ratios import Ratio

_REFERENCE, _CONTROL = "reference", "control"
WARM_SECONDS = 3.0

# The blocks of each key, one list per process; blocks with the same index were timed next to each other.
Times = dict[str, list[list[Block]]]


class Round(AbstractContextManager["Round"]):
    """Builds opened side by side in fresh processes, one per framework, until the context exits.

    Args:
        executor: makes the processes.
        threads: threads inside one inference.
    """

    def __init__(self, executor: Callable[[], Executor], threads: int) -> None:
        self._make = executor
        self._threads = threads
        self._pools: dict[str, Executor] = {}
        self._places: dict[str, tuple[str, str]] = {}

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        self.close()

    def close(self) -> None:
        """End the processes; calls that wait for one of them fail."""
        for pool in self._pools.values():
            pool.close()

    def start(self, build: Build, samples: Samples, apart: str = "") -> None:
        """Start the process that a build will be opened in, and load what its runtime loads only once."""
        payload = {"folder": build.folder.absolute(), "samples": samples}
        self._run((apart, engine(build.recipe.engine).environment), "bench_start", payload)

    def open(self, key: str, build: Build, samples: Samples, warm_seconds: float, apart: str = "") -> int:
        """Open a build under a key and return its memory in bytes; builds with different `apart` share no process."""
        place = (apart, engine(build.recipe.engine).environment)
        payload = {"key": key, "folder": build.folder.absolute(), "samples": samples, "threads": self._threads}
        grown: int = self._run(place, "bench_open", payload | {"warm_seconds": warm_seconds})
        self._places[key] = place
        return grown

    def time(self, keys: Sequence[str]) -> dict[str, Block]:
        """Time a block of each key, in order; neighbours in the same process share one call."""
        timings: list[Sequence[float]] = []
        for process, neighbours in groupby(keys, key=self._places.__getitem__):
            timings += self._run(process, "bench_blocks", {"keys": list(neighbours)})
        return {key: Block(*timing) for key, timing in zip(keys, timings, strict=True)}

    def many(self, key: str, samples: Samples, times: int) -> list[Block]:
        """Time runs of many samples at once."""
        timings = self._run(self._places[key], "bench_many", {"key": key, "samples": samples, "times": times})
        return [Block(*timing) for timing in timings]

    def _run(self, place: tuple[str, str], function: str, payload: Payload) -> Any:
        apart, environment = place
        pool = self._pools.get(apart) or self._pools.setdefault(apart, self._make())
        return pool.run(environment, f"{FUNCTIONS}:{function}", payload).value


def contest(opened: Round, team: Sequence[str], rng: np.random.Generator, times: Times) -> None:
    """Time the keys of a team once, next to each other in random order, and append the blocks to their times."""
    for key, block in opened.time([str(key) for key in rng.permutation(team)]).items():
        times[key][-1].append(block)


def clock_of(builds: Mapping[str, Sequence[Sequence[Block]]], threads: int) -> tuple[Clock, str | None]:
    """Return the clock for builds that are compared, and why if it is wall time; `builds` is keyed by display name."""
    blocks = {
        name: np.concatenate([np.asarray(process) for process in processes]) for name, processes in builds.items()
    }
    return clocks.choose(blocks, threads, BLOCK_SECONDS)


def ratio(times: Times, key: str, other: str, clock: Clock) -> Ratio:
    """Return the time of a key over that of another in its team, by one clock."""
    estimate = time_ratios.of_least if clock == "cpu" else time_ratios.of_pairs
    return estimate(clocks.seconds(times[key], clock), clocks.seconds(times[other], clock))


def bench(
    builds: Sequence[Build],
    samples: Sequence[Samples],
    executor: Callable[[], Executor],
    listener: Listener,
    batch: int = 1,
    threads: int = 1,
    processes: int = 10,
    pairs: int = 20,
) -> BenchRecord:
    """Time builds beside the first of them.

    In each of several rounds, every build is opened in fresh worker processes, one per framework. The reference, which
    is the first build, is opened twice: its second session is the control, in a process of its own if there are
    several frameworks. Then blocks of the reference and of each other build are timed next to each other, in random
    order, again and again. Only the runtime's work is timed.

    Args:
        builds: the reference, then the others.
        samples: the samples that each build runs on.
        executor: makes the workers of a round.
        listener: receives progress.
        batch: samples in one run.
        threads: threads inside one inference.
        processes: the number of rounds.
        pairs: pairs of blocks in each round.
    """
    keys = [_REFERENCE, *(f"build {i}" for i in range(1, len(builds))), _CONTROL]
    build_of = dict(zip(keys, [*builds, builds[0]], strict=True))
    samples_of = dict(zip(keys, [*samples, samples[0]], strict=True))
    others = keys[1:]
    times: list[Times] = [{_REFERENCE: [], other: []} for other in others]
    rng = np.random.default_rng(0)
    # If the builds run in two processes, the control must show the effect of that as well.
    apart = _CONTROL if len({engine(build.recipe.engine).environment for build in builds}) > 1 else ""
    for round_number in range(processes):
        listener.phase(f"timing, process {round_number + 1} of {processes}")
        with Round(executor, threads) as opened:
            # A session's place in memory is luck, not a property of the build: hence the random order.
            for key in map(str, rng.permutation(list(build_of))):
                opened.open(
                    key, build_of[key], samples_of[key].head(batch), WARM_SECONDS, apart if key == _CONTROL else ""
                )
            for team in times:
                for blocks in team.values():
                    blocks.append([])
            for _ in range(pairs):
                for index in rng.permutation(len(times)):
                    contest(opened, list(times[index]), rng, times[index])
    by_other: Mapping[str, Times] = dict(zip(others, times, strict=True))
    reference = [blocks for team in times for blocks in team[_REFERENCE]]
    rows = [_row(builds[0], {"it": reference}, threads)]
    for key, team in by_other.items():
        if key != _CONTROL:
            row = _row(build_of[key], {"it": team[key], "the reference": team[_REFERENCE]}, threads)
            rows.append(_beside(row, team, key, ratio(by_other[_CONTROL], _CONTROL, _REFERENCE, row.clock)))
    control, wall = (ratio(by_other[_CONTROL], _CONTROL, _REFERENCE, clock) for clock in (rows[0].clock, "wall"))
    return BenchRecord(
        batch=batch, threads=threads, processes=processes, pairs=pairs, clock=rows[0].clock, control=control.value,
        control_interval=control.interval, control_wall=wall.value, control_wall_interval=wall.interval, rows=rows,
    )  # fmt: skip


def _row(build: Build, blocks: Mapping[str, Sequence[Sequence[Block]]], threads: int) -> BenchRow:
    """Return the row of a build, whose blocks come first in `blocks`, by the clock that suits all of them."""
    wall, cpu = (clocks.seconds(next(iter(blocks.values())), clock) for clock in ("wall", "cpu"))
    clock, reason = clock_of(blocks, threads)
    return BenchRow(
        recipe=build.recipe.id,
        folder=str(build.folder),
        p50=float(np.quantile(np.concatenate(wall), 0.5)),
        p90=float(np.quantile(np.concatenate(wall), 0.9)),
        cpu_time=time_ratios.least(cpu),
        clock=clock,
        clock_reason=reason,
        samples=wall,
        cpu_samples=cpu,
    )


def _beside(row: BenchRow, team: Times, key: str, control: Ratio) -> BenchRow:
    """Return the row with its time over the reference's, and the verdict."""
    estimate = time_ratios.widened(ratio(team, key, _REFERENCE, row.clock), control)
    fields = {
        "ratio": estimate.value,
        "ratio_interval": estimate.interval,
        "ratio_wall": ratio(team, key, _REFERENCE, "wall").value,
        "verdict": verdict(estimate.interval),
    }
    return row.model_copy(update=fields)
