"""Builds and model files, timed beside the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bitpick.executors.pool import WorkerPool
from bitpick.models.source import Source
from bitpick.pipeline import fit
from bitpick.pipeline.builds import Executors
from bitpick.pipeline.evaluating import open_as_build, workspace
from bitpick.pipeline.fit import LoadData
from bitpick.pipeline.listener import Listener
from bitpick.schema.speed import BenchRecord
from bitpick.speed.bench import bench


def bench_files(
    builds: Sequence[Source], load_data: LoadData, listener: Listener, executor: Executors = WorkerPool, **options: int
) -> BenchRecord:
    """Time builds beside the first of them, see `bitpick.speed.bench`.

    Args:
        builds: folders of builds, or model files, each run in the engine that runs its format as it is.
        load_data: gives the samples.
        listener: is told how it goes.
        executor: makes workers.
        options: `batch`, `threads`, `processes`, `pairs`.

    Raises:
        RequestError: there is no such build, or it does not fit the data.
        RunError: a build cannot be run.
    """
    with workspace(executor) as (folder, runner, printed):
        found = []
        for number, each in enumerate(builds):
            place = folder / str(number)
            place.mkdir()
            found.append(open_as_build(each, place, runner, load_data, listener))
        runner.close()  # nothing else runs while builds are timed
        listener.phase("loading the data set")
        fits = [fit.fitted(load_data, one.signature, each.name) for each, one in zip(builds, found, strict=True)]
        fresh = partial(executor, printed, threads=options.get("threads", 1))
        samples = [each.evaluation for each in fits]  # each model has its inputs in its own order
        return bench([one.build for one in found], samples, fresh, listener, **options)
