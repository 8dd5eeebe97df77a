"""Latency of builds beside a reference: fresh processes, sessions alive together, blocks in random order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from typing import Any

import numpy as np

from bitpick.comparison.bench_job import FUNCTIONS
from bitpick.comparison.listener import Listener
from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import Build
from bitpick.engines.registry import engine
from bitpick.executors.executor import Executor, Payload
from bitpick.measures.latency import Ratio, ratio, verdict
from bitpick.timing import BenchRecord, BenchRow

_REFERENCE, _CONTROL = "reference", "control"
WARM_SECONDS = 3.0

# Seconds of the blocks of each key, a list for each process; blocks at the same place were timed next to each other.
Times = dict[str, list[list[float]]]


class Round(AbstractContextManager["Round"]):
    """Builds open side by side in fresh processes, one for each framework, until the round is left.

    Args:
        executor: makes the processes.
        threads: inside one inference.
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
        """End the processes; whoever waits for one of them gets an error."""
        for pool in self._pools.values():
            pool.close()

    def start(self, build: Build, samples: Samples, apart: str = "") -> None:
        """Start the process that a build will be opened in, and load what its runtime loads once."""
        payload = {"folder": build.folder.absolute(), "samples": samples}
        self._run((apart, engine(build.recipe.engine).environment), "bench_start", payload)

    def open(self, key: str, build: Build, samples: Samples, warm_seconds: float, apart: str = "") -> int:
        """Open a build under a key, `apart` in other processes than those of another word; returns bytes of memory."""
        place = (apart, engine(build.recipe.engine).environment)
        payload = {"key": key, "folder": build.folder.absolute(), "samples": samples, "threads": self._threads}
        grown: int = self._run(place, "bench_open", payload | {"warm_seconds": warm_seconds})
        self._places[key] = place
        return grown

    def time(self, keys: Sequence[str]) -> dict[str, float]:
        """Time a block of each key, in order: in one call where the same process has them."""
        found: list[float] = []
        for place, group in groupby(keys, key=self._places.__getitem__):
            found += self._run(place, "bench_blocks", {"keys": list(group)})
        return dict(zip(keys, found, strict=True))

    def many(self, key: str, samples: Samples, times: int) -> list[float]:
        """Seconds of runs of many samples at once."""
        found: list[float] = self._run(
            self._places[key], "bench_many", {"key": key, "samples": samples, "times": times}
        )
        return found

    def _run(self, place: tuple[str, str], function: str, payload: Payload) -> Any:
        apart, environment = place
        pool = self._pools.get(apart) or self._pools.setdefault(apart, self._make())
        return pool.run(environment, f"{FUNCTIONS}:{function}", payload).value


def contest(opened: Round, team: Sequence[str], rng: np.random.Generator, times: Times) -> None:
    """Time the keys of a team next to each other once, in random order, and add that to their times."""
    for key, seconds in opened.time([str(key) for key in rng.permutation(team)]).items():
        times[key][-1].append(seconds)


def bench(
    builds: Sequence[Build],
    samples: Samples,
    executor: Callable[[], Executor],
    listener: Listener,
    batch: int = 1,
    threads: int = 1,
    processes: int = 10,
    pairs: int = 20,
    seed: int = 0,
) -> BenchRecord:
    """Time builds beside the first of them.

    In each of several rounds every build is opened in fresh worker processes, one for each framework; the first build
    twice, and its second session, in a process of its own where there are several, is the control. Then a block of the
    reference and one of each of the others are timed next to each other, in random order, again and again. Only what
    the runtime does is timed.

    Args:
        builds: the reference, then the others.
        samples: where the input comes from.
        executor: makes the workers of a round.
        listener: is told how it goes.
        batch: samples in one run.
        threads: inside one inference.
        processes: rounds.
        pairs: of blocks, in each round.
        seed: of the order.
    """
    keys = [_REFERENCE, *(f"build {i}" for i in range(1, len(builds))), _CONTROL]
    held = dict(zip(keys, [*builds, builds[0]], strict=True))
    others = keys[1:]
    times: list[Times] = [{_REFERENCE: [], other: []} for other in others]
    rng = np.random.default_rng(seed)
    # What two processes do to times counts too, where the builds are of two.
    apart = _CONTROL if len({engine(build.recipe.engine).environment for build in builds}) > 1 else ""
    for round_number in range(processes):
        listener.phase(f"timing, process {round_number + 1} of {processes}")
        with Round(executor, threads) as opened:
            for key in map(str, rng.permutation(list(held))):  # where a session lies in memory is luck, not a property
                opened.open(key, held[key], samples.head(batch), WARM_SECONDS, apart if key == _CONTROL else "")
            for team in times:
                for part in team.values():
                    part.append([])
            for _ in range(pairs):
                for place in rng.permutation(len(times)):
                    contest(opened, list(times[place]), rng, times[place])
    by_other: Mapping[str, Times] = dict(zip(others, times, strict=True))
    control = ratio(by_other[_CONTROL][_CONTROL], by_other[_CONTROL][_REFERENCE])
    rows = [_row(builds[0], [part for team in times for part in team[_REFERENCE]], None, control)]
    for key, team in by_other.items():
        if key != _CONTROL:
            rows.append(_row(held[key], team[key], ratio(team[key], team[_REFERENCE]), control))
    return BenchRecord(
        batch=batch, threads=threads, processes=processes, pairs=pairs, control=control.value,
        control_interval=control.interval, rows=rows,
    )  # fmt: skip


def _row(build: Build, times: Sequence[Sequence[float]], found: Ratio | None, control: Ratio) -> BenchRow:
    every = np.concatenate([np.asarray(part) for part in times])
    return BenchRow(
        recipe=build.recipe.id,
        folder=str(build.folder),
        p50=float(np.quantile(every, 0.5)),
        p90=float(np.quantile(every, 0.9)),
        ratio=None if found is None else found.value,
        ratio_interval=None if found is None else found.interval,
        verdict=None if found is None else verdict(found, control),
        samples=[[float(seconds) for seconds in part] for part in times],
    )
