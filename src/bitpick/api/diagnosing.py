"""Diagnose a recipe: find the layers that cost accuracy."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from bitpick.api.model_objects import Model, source_of
from bitpick.api.runs import Comparison, write_report
from bitpick.datasets.load import Data, Options, data_source
from bitpick.datasets.progress import Progress, silent
from bitpick.diagnosis.diagnose import Diagnosing
from bitpick.diagnosis.request import make_diagnosis
from bitpick.executors.pool import WorkerPool
from bitpick.pipeline.directory import RunDirectory
from bitpick.pipeline.listener import Listener, Silent
from bitpick.pipeline.request import job_limits, new_run
from bitpick.recipe import Recipe
from bitpick.schema import option
from bitpick.schema.groups import GROUPS
from bitpick.schema.other_groups import Depth
from bitpick.schema.settings import only_options, with_options
from bitpick.targets.host import this_host

OPTIONS = ("calibration_size", "seed", "training_minutes", "timeout", "memory_limit")


def diagnose(
    model: Model,
    recipe: str | Path | Recipe,
    data: Data = "cifar10",
    *,
    example: Any = None,
    data_options: Options = None,
    out: str | Path | None = None,
    apply: bool = False,
    overwrite: bool = False,
    accept_baseline: bool = False,
    listener: Listener | None = None,
    progress: Progress = silent,
    **options: Any,
) -> Comparison:
    """Find the layers of a quantized build that cost accuracy, and the recipe to try next.

    Args:
        model: the model; a `Source` if opening it needs options.
        recipe: a recipe id, or a YAML file with a recipe.
        data: the data set, see `compare`.
        example: see `compare`.
        data_options: how to read the data set, see `bitpick.DataOptions`.
        out: the run directory; by default `runs/diagnose-<model>-<recipe>-<digest of the request>`, where the same
            request continues.
        apply: run the next recipe too.
        overwrite: replace another request's run in `out`.
        accept_baseline: continue even if the float model makes no sense of the data.
        listener: receives events as the work goes on.
        progress: receives the progress of downloads.
        options: single options by name, see the table below. `samples` are the first ones of the evaluation set if
            they include every class, else evenly spaced ones; the recipe itself, and with `apply` the next one, are
            evaluated on the whole set. `layers` are those with the lowest signal-to-noise ratio.

    Returns:
        The finished run, with `run.diagnosis`. Its directory holds `run.json`, `report.html`, `report.md` and, if
        there is a next recipe, `next_recipe.yaml`.

    Raises:
        RequestError: the request is wrong; nothing was written.
        RunError: the run failed; run.json records how far it got.
        TypeError: there is no such option.
    """
    depth = Depth(**{name: options.pop(name) for name in option.options(Depth) if name in options})
    settings = only_options(OPTIONS, options)
    diagnosed = Recipe.named(recipe)
    data_set = data_source(data, data_options)
    source = source_of(model, data_set, example)
    request, model_format = make_diagnosis(
        source,
        data_set.name,
        diagnosed,
        diagnosed.id if isinstance(recipe, Recipe) else str(recipe),
        samples=depth.samples,
        calibration=settings.calibration,
        data_options=data_set.options.said,
        accept_baseline=accept_baseline,
    )
    limits = job_limits(settings.work)
    host = this_host()
    folder = Path(out or Path("runs") / f"diagnose-{source.stem}-{diagnosed.file_name}-{request.sha256[:8]}")
    # One engine needs one worker, which gets all the cores.
    directory = RunDirectory(folder.absolute(), new_run(request, model_format, host, host.cores, "diagnose"))
    pool = WorkerPool(directory.logs, host.cores, limits)
    run = Diagnosing(directory, host, pool, 1, listener or Silent())
    try:
        run.diagnose(
            diagnosed,
            partial(data_set.load, progress=progress),
            most_layers=depth.layers,
            apply=apply,
            overwrite=overwrite,
        )
    finally:
        if directory.run.state in ("complete", "failed", "interrupted"):
            write_report(directory.root, directory.run)
    return Comparison(folder, directory.run)


diagnose.__signature__ = with_options(  # type: ignore[attr-defined]  # for help() and notebooks
    diagnose, (*option.options(Depth), *OPTIONS), (Depth, *GROUPS)
)
