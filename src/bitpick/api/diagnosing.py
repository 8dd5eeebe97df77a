"""What commands and notebooks call to find out what is the matter with a recipe."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from bitpick.api.model_objects import Model, source_of
from bitpick.api.runs import Comparison, write_report
from bitpick.datasets.load import Data, Options, data_source
from bitpick.datasets.progress import Progress, silent
from bitpick.diagnosis.diagnose import Diagnosing
from bitpick.diagnosis.request import DEFAULT_LAYERS, DEFAULT_SAMPLES, make_diagnosis
from bitpick.executors.pool import WorkerPool
from bitpick.pipeline.directory import RunDirectory
from bitpick.pipeline.listener import Listener, Silent
from bitpick.pipeline.request import job_limits, new_run
from bitpick.recipe import Recipe
from bitpick.schema.groups import Work
from bitpick.targets.host import this_host


def diagnose(
    model: Model,
    recipe: str | Path | Recipe,
    data: Data = "cifar10",
    *,
    example: Any = None,
    data_options: Options = None,
    out: str | Path | None = None,
    samples: int = DEFAULT_SAMPLES,
    layers: int = DEFAULT_LAYERS,
    apply: bool = False,
    calibration_size: int = 1000,
    seed: int = 0,
    timeout: float | None = None,
    memory_limit: float | None = None,
    overwrite: bool = False,
    accept_baseline: bool = False,
    listener: Listener | None = None,
    progress: Progress = silent,
) -> Comparison:
    """Find out which layers of a quantized build hurt, and what to try next.

    Args:
        model: the model; a `Source` where opening it needs options.
        recipe: a recipe id, or a YAML file that holds one.
        data: the data set, see `compare`.
        example: see `compare`.
        data_options: how it is read, see `bitpick.DataOptions`.
        out: the run directory; by default `runs/diagnose-<model>-<recipe>-<digest of the request>`, which the same
            request continues.
        samples: how many evaluation samples the builds of single layers are evaluated on: the first ones where they
            hold every class, else evenly spaced ones. The recipe itself, and with `apply` the next one, get all of
            them.
        layers: how many layers get builds of their own: those with the least signal over noise.
        apply: run the next recipe, too.
        calibration_size: number of calibration samples.
        seed: of their draw.
        timeout: seconds after which a single job, such as one build, is ended.
        memory_limit: gigabytes of memory past which a job is ended.
        overwrite: replace another request's run in `out`.
        accept_baseline: go on with a float model that makes no sense of the data.
        listener: is told how it goes.
        progress: is told how far a download is.

    Returns:
        The finished run, with `run.diagnosis`; its directory holds `run.json`, `report.html`, `report.md`, and
        where there is one `next_recipe.yaml`.

    Raises:
        RequestError: the request is wrong; nothing was written.
        RunError: the run failed, and run.json says how far it came.
    """
    asked = Recipe.named(recipe)
    read = data_source(data, data_options)
    source = source_of(model, read, example)
    request, model_format = make_diagnosis(
        source,
        read.name,
        asked,
        asked.id if isinstance(recipe, Recipe) else str(recipe),
        samples=samples,
        layers=layers,
        calibration_size=calibration_size,
        seed=seed,
        data_options=read.options.said,
        accept_baseline=accept_baseline,
    )
    limits = job_limits(Work(timeout=timeout, memory_limit=memory_limit))
    host = this_host()
    folder = Path(out or Path("runs") / f"diagnose-{source.stem}-{asked.file_name}-{request.sha256[:8]}")
    # One engine, one worker: it has all the cores.
    directory = RunDirectory(folder.absolute(), new_run(request, model_format, host, host.cores, "diagnose"))
    pool = WorkerPool(directory.logs, host.cores, limits)
    run = Diagnosing(directory, host, pool, 1, listener or Silent())
    try:
        run.diagnose(
            asked,
            partial(read.load, progress=progress),
            most_layers=layers,
            apply=apply,
            overwrite=overwrite,
        )
    finally:
        if directory.run.state in ("complete", "failed", "interrupted"):
            write_report(directory.root, directory.run)
    return Comparison(folder, directory.run)
