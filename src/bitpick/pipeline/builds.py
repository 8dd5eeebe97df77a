"""One conversion or build, by the same road as a comparison, in a folder that does not outlive it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitpick.artifacts.store import Store
from bitpick.conversion.route import route
from bitpick.engines.registry import engine
from bitpick.errors import BitpickError, OutputError, RecipeError
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
from bitpick.recipe import Recipe, did_you_mean
from bitpick.schema.groups import Builds, Calibration
from bitpick.schema.hop import Hop as HopRecord
from bitpick.schema.run import File
from bitpick.schema.settings import Settings
from bitpick.targets.host import this_host

Executors = Callable[..., Executor]
"""Makes workers, from a folder for their logs and the number of their threads; see `WorkerPool`."""


@dataclass(frozen=True)
class Given:
    """What a conversion or a build is made from.

    Attributes:
        model: the model.
        data: a data set, as users write it.
        load_data: reads it.
        listener: is told how it goes.
        executor: makes workers.
    """

    model: Source
    data: str
    load_data: LoadData
    listener: Listener
    executor: Executors = WorkerPool


@contextmanager
def _prepared(given: Given, **asked: Any) -> Iterator[tuple[Workshop, Preparation, Inputs, Model]]:
    """The model brought to its reference graph, in a temporary run directory."""
    host = this_host()
    request, model_format = make_request(given.model, given.data, bench_seconds=0, **asked)
    with tempfile.TemporaryDirectory(prefix="bitpick-") as folder, logs.kept() as printed:
        directory = RunDirectory(Path(folder).absolute(), new_run(request, model_format, host, host.cores, "single"))
        workers = given.executor(printed, threads=host.cores)
        shop = Workshop(directory, Runner(workers, Store.default(), directory.root), 1, given.listener, host)
        try:
            preparation = Preparation(shop)
            inputs = preparation.load(given.load_data, preparation.open(given.load_data))
            yield shop, preparation, inputs, preparation.to_reference(inputs)
        finally:
            workers.close()


def convert(given: Given, target: Format, out: Path) -> list[HopRecord]:
    """Convert a model, each hop verified, and write the result.

    Raises:
        RequestError: the request is wrong; nothing was written.
        RunError: a hop failed; nothing was written.
    """
    _check_writable(out)
    if out.is_dir():
        raise OutputError(f"the output {out} is a directory", expected="the name of a file")
    # What a model is for does not matter to a conversion.
    with _prepared(given) as (shop, _, inputs, found):

        def vital(job: Job, result: Result) -> Result:
            result = hops.noted(shop, inputs, job, result)
            if isinstance(result, BitpickError):
                raise result
            return result

        if target != found.format and route(found.format, target) is None:
            raise RecipeError(
                f"no conversion goes from {found.format} to {target}",
                fix="give the model that this one was made from, or name another format with --to",
            )
        there = [found.format, *map(form_of, shop.run.model.forms)]
        jobs = plan.conversions([target], inputs, shop.directory, there)
        schedule.run(jobs, shop.runner, 1, given.listener.started, vital)
        with _in_place(out) as partial:
            shutil.copyfile(inputs.path(target, shop.directory), partial)
        return list(shop.run.model.hops)


def quantize(
    given: Given, recipe: Recipe, out: Path, calibration: Calibration, accept_baseline: bool = False
) -> list[File]:
    """Make one build in a new directory.

    Returns:
        Its files, their paths relative to `out`.

    Raises:
        RequestError: the request is wrong; nothing was written.
        RunError: the build failed; nothing was written.
    """
    _check_writable(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"the output {out} exists and is not an empty directory", fix="name another with --out")
    if missing := engine(recipe.engine).missing():
        raise RecipeError(f"{recipe.id}: {missing}")
    settings = Settings(Builds(recipes=(recipe,)), calibration)
    with _prepared(given, settings=settings, accept_baseline=accept_baseline) as (shop, preparation, inputs, found):
        if reason := unreachable(recipe, found.format):
            raise RecipeError(
                f"{recipe.id}: {reason}", fix="name a recipe of another engine: bitpick engines lists them"
            )
        settled = preparation.settled(inputs)
        suspicions.look(shop, settled, found.macs)
        folder = shop.directory.build(recipe.id)

        def told(_: Trial, answer: Answer) -> None:
            if isinstance(answer, BitpickError):
                raise answer

        ModelTrials(shop, found, settled).run([Trial(recipe, folder, calibration=settled.calibration)], told)
        with _in_place(out) as partial:
            shutil.copytree(folder, partial)
            if out.exists():
                out.rmdir()  # it is empty
    return size.files(open_build(out), out)


def target_format(word: str) -> Format:
    """The format that `--to` names.

    Raises:
        RecipeError: it names none that is converted to.
    """
    known = [Format.ONNX.value, Format.PYTORCH.value, Format.LITERT.value]
    if word not in known:
        raise RecipeError(
            f"there is no conversion to {word!r}", expected=f"one of {', '.join(known)}", fix=did_you_mean(word, known)
        )
    return Format(word)


def _check_writable(out: Path) -> None:
    """Refuse, before any work, an output that cannot be written."""
    parent = next((p for p in out.absolute().parents if p.exists()), Path("/"))
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(
            f"the output {out} cannot be written: no permission to write in {parent}",
            fix="name another place with --out",
        )


@contextmanager
def _in_place(out: Path) -> Iterator[Path]:
    """A path beside `out` to write to, moved there at the end, or removed."""
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=out.parent))
    try:
        yield partial / out.name
        (partial / out.name).replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
