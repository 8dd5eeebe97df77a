"""One conversion or build, by the same road as a comparison, in a folder that does not outlive it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bitpick.comparison.compare import new_run
from bitpick.engines.capability import Offer
from bitpick.engines.registry import engine
from bitpick.errors import BitpickError, OutputError, RecipeError
from bitpick.executors.executor import Executor
from bitpick.executors.pool import WorkerPool
from bitpick.measures import size
from bitpick.models.model import Format, Model
from bitpick.models.source import Source
from bitpick.pipeline import logs, plan, schedule, suspicions
from bitpick.pipeline.fit import LoadData
from bitpick.pipeline.forms import start_form, unreachable
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.job import Job, open_build
from bitpick.pipeline.listener import Listener
from bitpick.pipeline.prepare import Preparation
from bitpick.pipeline.request import make_request
from bitpick.pipeline.schedule import Result
from bitpick.pipeline.store import Store
from bitpick.recipe import Recipe, did_you_mean
from bitpick.schema.hop import Hop as HopRecord
from bitpick.schema.run import File
from bitpick.targets.host import this_host


@dataclass(frozen=True)
class _Bench:
    store: Store
    executor: Executor
    preparation: Preparation
    inputs: Inputs
    model: Model
    listener: Listener

    @property
    def given(self) -> list[Format]:
        """The formats that are there, verified, the source among them."""
        return [self.model.format, *(form for form in Format if form in self.store.run.model.forms)]

    def run(self, jobs: list[Job]) -> dict[str, Result]:
        """Run jobs; the first error ends it."""
        results: dict[str, Result] = {}

        def finished(job: Job, result: Result) -> Result:
            result = self.preparation.converted(job, result, self.inputs)
            if isinstance(result, BitpickError):
                raise result
            results[job.id] = result
            return result

        schedule.run(jobs, self.executor, 1, self.listener.started, finished)
        return results


@contextmanager
def _bench(
    model: Source,
    data: str,
    load_data: LoadData,
    listener: Listener,
    recipes: tuple[Recipe, ...] = (),
    calibration_size: int = 1000,
    seed: int = 0,
    accept_baseline: bool = False,
) -> Iterator[_Bench]:
    """The model brought to its reference graph, in a temporary run directory."""
    host = this_host()
    request, model_format = make_request(
        model,
        data,
        recipes=recipes,
        calibration_size=calibration_size,
        seed=seed,
        bench_seconds=0,
        accept_baseline=accept_baseline,
    )
    with tempfile.TemporaryDirectory(prefix="bitpick-") as folder, logs.kept() as printed:
        store = Store(Path(folder).absolute(), new_run(request, model_format, host, host.cores, "single"))
        executor = WorkerPool(printed, threads=host.cores)
        try:
            preparation = Preparation(store, host, executor, 1, listener)
            inputs = preparation.load(load_data, preparation.open(load_data))
            reference = preparation.to_reference(inputs)
            yield _Bench(store, executor, preparation, inputs, reference, listener)
        finally:
            executor.close()


def convert(
    model: Source, target: Format, out: Path, data: str, load_data: LoadData, listener: Listener
) -> list[HopRecord]:
    """Convert a model, each hop verified, and write the result.

    Raises:
        RequestError: the request is wrong; nothing was written.
        RunError: a hop failed; nothing was written.
    """
    _check_writable(out)
    if out.is_dir():
        raise OutputError(f"the output {out} is a directory", expected="the name of a file")
    # What a model is for does not matter to a conversion.
    with _bench(model, data, load_data, listener) as bench:
        bench.run(plan.conversions([target], bench.inputs, bench.store, bench.given))
        with _in_place(out) as partial:
            shutil.copyfile(bench.inputs.path(target, bench.store), partial)
        return bench.store.run.model.hops


def quantize(
    model: Source,
    recipe: Recipe,
    out: Path,
    data: str,
    load_data: LoadData,
    listener: Listener,
    calibration_size: int,
    seed: int,
    accept_baseline: bool = False,
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
        raise OutputError(f"the output {out} exists and is not an empty directory", mend="name another with --out")
    if missing := engine(recipe.engine).missing():
        raise RecipeError(f"{recipe.id}: {missing}")
    with _bench(model, data, load_data, listener, (recipe,), calibration_size, seed, accept_baseline) as bench:
        if reason := unreachable(recipe, bench.model.format):
            raise RecipeError(
                f"{recipe.id}: {reason}", mend="name a recipe of another engine: bitpick engines lists them"
            )
        inputs = bench.preparation.settled(bench.inputs)
        suspicions.look(bench.executor, bench.store, inputs, bench.model.macs, listener)
        form = start_form(recipe, bench.model.format)
        wanted = [] if form is None or form in bench.given else [form]
        jobs = plan.conversions(wanted, inputs, bench.store, bench.given)
        jobs += plan.rows([Offer(recipe, frozenset())], bench.model, inputs, bench.store, bench.given)
        bench.run([job for job in jobs if job.function not in ("inspect", "check_rewriting", "evaluate")])
        with _in_place(out) as partial:
            shutil.copytree(bench.store.build(recipe.id), partial)
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
            f"there is no conversion to {word!r}", expected=f"one of {', '.join(known)}", mend=did_you_mean(word, known)
        )
    return Format(word)


def _check_writable(out: Path) -> None:
    """Refuse, before any work, an output that cannot be written."""
    parent = next(p for p in out.absolute().parents if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(
            f"the output {out} cannot be written: no permission to write in {parent}",
            mend="name another place with --out",
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
