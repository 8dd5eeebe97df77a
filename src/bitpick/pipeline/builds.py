"""Do one conversion or make one build, as a comparison would, in a temporary folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitpick.artifacts import durable, temporary
from bitpick.artifacts.store import Store
from bitpick.conversion.route import route
from bitpick.engines.registry import missing
from bitpick.errors import BitpickError, OutputError, RecipeError, did_you_mean
from bitpick.executors.executor import Executor
from bitpick.executors.pool import WorkerPool
from bitpick.measures import size
from bitpick.models.model import Format, Model, form_of
from bitpick.models.source import Source
from bitpick.pipeline import hops, logs, plan, schedule, suspicions
from bitpick.pipeline.build_job import open_build
from bitpick.pipeline.directory import RunDirectory
from bitpick.pipeline.fit import LoadData
from bitpick.pipeline.forms import unreachable
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.job import Job
from bitpick.pipeline.listener import Listener
from bitpick.pipeline.prepare import Preparation
from bitpick.pipeline.request import make_request, new_run
from bitpick.pipeline.running import Runner
from bitpick.pipeline.schedule import Result
from bitpick.pipeline.trial import Trial
from bitpick.pipeline.trials import Answer, ModelTrials
from bitpick.pipeline.workshop import Workshop
from bitpick.recipe import Recipe
from bitpick.schema.groups import Builds, Calibration
from bitpick.schema.hop import Hop as HopRecord
from bitpick.schema.run import File
from bitpick.schema.settings import Settings
from bitpick.targets.host import this_host

Executors = Callable[..., Executor]
"""Makes workers, given a folder for their logs and a number of threads; see `WorkerPool`."""


@dataclass(frozen=True)
class ModelAndData:
    """The model and data of a conversion or build, and how to run it.

    Attributes:
        model: the model.
        data: the data set, as users write it.
        load_data: reads the data set.
        listener: receives progress.
        executor: makes workers.
    """

    model: Source
    data: str
    load_data: LoadData
    listener: Listener
    executor: Executors = WorkerPool


@contextmanager
def _prepared(source: ModelAndData, **options: Any) -> Iterator[tuple[Workshop, Preparation, Inputs, Model]]:
    """Convert the model to its reference graph in a temporary run directory."""
    host = this_host()
    request, model_format = make_request(source.model, source.data, bench_seconds=0, **options)
    with temporary.folder("run") as folder, logs.kept() as printed:
        directory = RunDirectory(folder, new_run(request, model_format, host, host.cores, "single"))
        workers = source.executor(printed, threads=host.cores)
        shop = Workshop(directory, Runner(workers, Store.default(), directory.root), 1, source.listener, host)
        try:
            preparation = Preparation(shop)
            inputs = preparation.load(source.load_data, preparation.open(source.load_data))
            yield shop, preparation, inputs, preparation.to_reference(inputs)
        finally:
            workers.close()


def convert(source: ModelAndData, target: Format, out: Path) -> list[HopRecord]:
    """Convert a model, verify each hop, and write the result.

    Raises:
        RequestError: the request is wrong; nothing was written.
        RunError: a hop failed; nothing was written.
    """
    _check_writable(out)
    if out.is_dir():
        raise OutputError(f"the output {out} is a directory", expected="the name of a file")
    # A conversion does not depend on the task, so the task is not settled here.
    with _prepared(source) as (shop, _, inputs, model):

        def raise_failure(job: Job, result: Result) -> Result:
            result = hops.note_outcome(shop, inputs, job, result)
            if isinstance(result, BitpickError):
                raise result
            return result

        if target != model.format and route(model.format, target) is None:
            raise RecipeError(
                f"no conversion goes from {model.format} to {target}",
                fix="give the model that this one was made from, or name another format with --to",
            )
        existing = [model.format, *map(form_of, shop.run.model.forms)]
        jobs = plan.conversions([target], inputs, shop.directory, existing)
        schedule.run(jobs, shop.runner, 1, source.listener, raise_failure)
        with _in_place(out) as partial:
            shutil.copyfile(inputs.path(target, shop.directory), partial)
        return list(shop.run.model.hops)


def quantize(
    source: ModelAndData, recipe: Recipe, out: Path, calibration: Calibration, accept_baseline: bool = False
) -> list[File]:
    """Make one build in a new directory.

    Returns:
        The build's files, with paths relative to `out`.

    Raises:
        RequestError: the request is wrong; nothing was written.
        RunError: the build failed; nothing was written.
    """
    _check_writable(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"the output {out} exists and is not an empty directory", fix="name another with --out")
    if reason := missing(recipe):
        raise RecipeError(f"{recipe.id}: {reason}")
    settings = Settings(Builds(recipes=(recipe,)), calibration)
    with _prepared(source, settings=settings, accept_baseline=accept_baseline) as (shop, preparation, inputs, model):
        if reason := unreachable(recipe, model.format):
            raise RecipeError(
                f"{recipe.id}: {reason}", fix="name a recipe of another engine: bitpick engines lists them"
            )
        settled_inputs = preparation.settled(inputs)
        suspicions.look(shop, settled_inputs, model.macs)
        folder = shop.directory.build(recipe.id)

        def raise_failure(_: Trial, answer: Answer) -> None:
            if isinstance(answer, BitpickError):
                raise answer

        ModelTrials(shop, model, settled_inputs).run(
            [Trial(recipe, folder, calibration=settled_inputs.calibration)], raise_failure
        )
        with _in_place(out) as partial:
            durable.copy_tree(folder, partial)
    return size.files(open_build(out), out)


def target_format(word: str) -> Format:
    """Return the format that `--to` names.

    Raises:
        RecipeError: bitpick does not convert to that format.
    """
    formats = [Format.ONNX.value, Format.PYTORCH.value, Format.LITERT.value]
    if word not in formats:
        raise RecipeError(
            f"there is no conversion to {word!r}",
            expected=f"one of {', '.join(formats)}",
            fix=did_you_mean(word, formats),
        )
    return Format(word)


def _check_writable(out: Path) -> None:
    """Refuse an output that cannot be written, before doing any work."""
    parent = next((ancestor for ancestor in out.absolute().parents if ancestor.exists()), Path("/"))
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(
            f"the output {out} cannot be written: no permission to write in {parent}",
            fix="name another place with --out",
        )


@contextmanager
def _in_place(out: Path) -> Iterator[Path]:
    """Yield a temporary path, then move what is there to `out`.

    Raises:
        OutputError: it cannot be written.
    """
    out = out.absolute()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        durable.sweep_old(out.parent)
        with durable.replacing(out) as partial:
            yield partial
    except OSError as error:
        raise OutputError(
            f"the output {out} cannot be written: {error.strerror or error}", fix="name another place with --out"
        ) from error
