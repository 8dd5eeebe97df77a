"""Latency of builds beside a reference: fresh processes, sessions alive together, blocks in random order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from bitpick.comparison.job import FUNCTIONS
from bitpick.comparison.listener import Listener
from bitpick.data.dataset import Samples
from bitpick.engines.engine import Build
from bitpick.engines.registry import engine
from bitpick.executors.executor import Executor, Payload
from bitpick.measures.latency import Ratio, ratio, verdict
from bitpick.timing import BenchRecord, BenchRow

_REFERENCE, _CONTROL = "reference", "control"


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
    twice, and its second session is the control. Then a block of the reference and one of each of the others are timed
    next to each other, in random order, again and again. Only what the runtime does is timed.

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
    times: dict[str, list[list[float]]] = {key: [] for key in others}
    beside: dict[str, list[list[float]]] = {key: [] for key in others}
    rng = np.random.default_rng(seed)
    for round_number in range(processes):
        listener.phase(f"timing, process {round_number + 1} of {processes}")
        workers = executor()
        try:
            for key in map(str, rng.permutation(list(held))):  # where a session lies in memory is luck, not a property
                build = held[key]
                payload = {"key": key, "samples": samples.head(batch), "threads": threads}
                _run(workers, build, "bench_open", payload | {"folder": build.folder.absolute()})
            taken: dict[str, list[float]] = {key: [] for key in others}
            against: dict[str, list[float]] = {key: [] for key in others}
            for _ in range(pairs):
                for other in rng.permutation(others):
                    order = [_REFERENCE, str(other)] if rng.random() < 0.5 else [str(other), _REFERENCE]
                    seconds = dict(zip(order, _blocks(workers, order, held), strict=True))
                    taken[str(other)].append(seconds[str(other)])
                    against[str(other)].append(seconds[_REFERENCE])
        finally:
            workers.close()
        for key in others:
            times[key].append(taken[key])
            beside[key].append(against[key])
    control = ratio(beside[_CONTROL], times[_CONTROL])
    reference = [seconds for key in others for seconds in beside[key]]
    rows = [_row(builds[0], reference, None, control)]
    rows += [_row(held[key], times[key], ratio(beside[key], times[key]), control) for key in others if key != _CONTROL]
    return BenchRecord(
        batch=batch, threads=threads, processes=processes, pairs=pairs, control=control.value,
        control_interval=control.interval, rows=rows,
    )  # fmt: skip


def _blocks(workers: Executor, order: Sequence[str], held: dict[str, Build]) -> list[float]:
    """Time a block of each key in order: in one call where the same process has them."""
    found: list[float] = []
    for _, group in groupby(order, key=lambda key: engine(held[key].recipe.engine).environment):
        keys = list(group)
        found += _run(workers, held[keys[0]], "bench_blocks", {"keys": keys})
    return found


def _run(workers: Executor, build: Build, function: str, payload: Payload) -> Any:
    return workers.run(engine(build.recipe.engine).environment, f"{FUNCTIONS}:{function}", payload).value


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
