"""Time builds and model files beside the first of them."""

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
        builds: folders of builds, or model files, each run in the engine that runs its format directly.
        load_data: loads the samples.
        listener: receives progress.
        executor: makes workers.
        options: `batch`, `threads`, `processes`, `pairs`.

    Raises:
        RequestError: a build does not exist, or does not fit the data.
        RunError: a build cannot be run.
    """
    with workspace(executor) as (folder, runner, printed):
        opened = []
        for number, each in enumerate(builds):
            subfolder = folder / str(number)
            subfolder.mkdir()
            opened.append(open_as_build(each, subfolder, runner, load_data, listener))
        runner.close()  # nothing else runs while builds are timed
        listener.phase("loading the data set")
        fitted = [
            fit.fitted(load_data, open_build.signature, each.name)
            for each, open_build in zip(builds, opened, strict=True)
        ]
        fresh = partial(executor, printed, threads=options.get("threads", 1))
        samples = [each.evaluation for each in fitted]  # each model has its own order of inputs
        return bench([open_build.build for open_build in opened], samples, fresh, listener, **options)
