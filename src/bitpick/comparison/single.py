"""One conversion, build or evaluation, by the same road as a comparison, in a folder that does not outlive it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitpick.comparison import bench as timing
from bitpick.comparison import fit, plan, schedule
from bitpick.comparison.compare import new_run
from bitpick.comparison.fit import LoadData
from bitpick.comparison.job import FUNCTIONS, Job, open_build
from bitpick.comparison.listener import Listener
from bitpick.comparison.prepare import Preparation, signature_of
from bitpick.comparison.request import make_request
from bitpick.comparison.schedule import Result
from bitpick.comparison.store import Store
from bitpick.conversion.route import route
from bitpick.data.dataset import Samples
from bitpick.engines.engine import Build, Offer
from bitpick.engines.registry import engine
from bitpick.errors import BitpickError, DataError, ModelError, OutputError, RecipeError
from bitpick.executors.executor import Executor
from bitpick.executors.pool import WorkerPool
from bitpick.host import this_host
from bitpick.measures import size
from bitpick.model import Format, Model, Signature, detect_format, sha256_of
from bitpick.recipe import Kind, Recipe, did_you_mean
from bitpick.result import File, Row
from bitpick.result import Hop as HopRecord
from bitpick.timing import BenchRecord

CHECK_SAMPLES = 1000


@dataclass(frozen=True)
class _Bench:
    store: Store
    executor: Executor
    preparation: Preparation
    inputs: plan.Inputs
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
    model: Path,
    data: str,
    load_data: LoadData,
    listener: Listener,
    recipes: tuple[str, ...] = (),
    calibration_size: int = 1000,
    seed: int = 0,
) -> Iterator[_Bench]:
    """The model brought to its reference graph, in a temporary run directory."""
    host = this_host()
    request, model_format = make_request(
        model, data, recipes=recipes, calibration_size=calibration_size, seed=seed, bench_seconds=0
    )
    with tempfile.TemporaryDirectory(prefix="bitpick-") as folder:
        store = Store(Path(folder).absolute(), new_run(request, model_format, host, host.cores, "single"))
        executor = WorkerPool(threads=host.cores)
        try:
            preparation = Preparation(store, host, executor, 1, listener)
            inputs, reference = preparation.prepare(load_data)
            yield _Bench(store, executor, preparation, inputs, reference, listener)
        finally:
            executor.close()


def convert(
    model: Path, target: Format, out: Path, data: str, load_data: LoadData, listener: Listener
) -> list[HopRecord]:
    """Convert a model, each hop verified, and write the result.

    Raises:
        RequestError: the request is wrong; nothing was written.
        RunError: a hop failed; nothing was written.
    """
    _check_writable(out)
    if out.is_dir():
        raise OutputError(f"the output {out} is a directory", expected="the name of a file")
    with _bench(model, data, load_data, listener) as bench:
        bench.run(plan.conversions([target], bench.inputs, bench.store, bench.given))
        with _in_place(out) as partial:
            shutil.copyfile(bench.inputs.path(target, bench.store), partial)
        return bench.store.run.model.hops


def quantize(
    model: Path,
    recipe_id: str,
    out: Path,
    data: str,
    load_data: LoadData,
    listener: Listener,
    calibration_size: int,
    seed: int,
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
    recipe = Recipe.named(recipe_id)
    if missing := engine(recipe.engine).missing():
        raise RecipeError(f"{recipe_id}: {missing}")
    with _bench(model, data, load_data, listener, (recipe_id,), calibration_size, seed) as bench:
        if reason := plan.unreachable(recipe, bench.model.format):
            raise RecipeError(f"{recipe_id}: {reason}")
        form = plan.start_form(recipe, bench.model.format)
        wanted = [] if form is None or form in bench.given else [form]
        jobs = plan.conversions(wanted, bench.inputs, bench.store, bench.given)
        jobs += plan.rows([Offer(recipe, frozenset())], bench.model, bench.inputs, bench.store, bench.given)
        bench.run([job for job in jobs if job.function not in ("inspect", "evaluate")])
        with _in_place(out) as partial:
            shutil.copytree(bench.store.build(recipe.id), partial)
            if out.exists():
                out.rmdir()  # it is empty
    return size.files(open_build(out), out)


def evaluate(model: Path, load_data: LoadData, listener: Listener) -> Row:
    """Evaluate a build, or a model in the engine that runs its format as it is.

    Raises:
        RequestError: there is no such model or build, or it does not fit the data.
        RunError: the evaluation failed.
    """
    with tempfile.TemporaryDirectory(prefix="bitpick-") as folder:
        executor = WorkerPool(threads=this_host().cores)
        try:
            asked_for = model.is_dir()
            made, signature = _opened(model, Path(folder), executor)
            each = engine(made.recipe.engine)
            listener.phase("loading the data set")
            fits = fit.fitted(load_data, signature, str(model))
            samples, task = fits.evaluation, fits.task
            if samples.labels is None:
                raise DataError(
                    f"{fits.dataset.name} has no labels, and one model by itself has nothing to agree with",
                    mend="give labels with --labels, or compare it with its float model: bitpick compare",
                )
            listener.phase(f"evaluating {model.name}")
            payload = {
                "recipe": made.recipe,
                "folder": made.folder.absolute(),
                "samples": samples,
                "threads": this_host().cores,
                "task": task,
                "shapes": [tensor.shape for tensor in signature.outputs],
                "predictions": None,
            }
            outcome = executor.run(each.environment, f"{FUNCTIONS}:evaluate", payload)
            look = payload | {"samples": samples.head(CHECK_SAMPLES), "asked_for": asked_for}
            del look["predictions"]
            inspected = executor.run(each.environment, f"{FUNCTIONS}:inspect", look).value
            files = size.files(made, made.folder)
        finally:
            executor.close()
    kind, name = made.recipe.kind, made.recipe.id
    if not asked_for and (found := _kind(inspected)) != "baseline":
        kind, name = found, f"{each.name}:{model.stem}.{sha256_of(model)[:8]}"
    return Row.model_validate(
        {
            "id": name,
            "recipe": name,
            "engine": made.recipe.engine,
            "kind": kind,
            "recipe_fields": made.recipe if made.recipe.scoped else None,
            "status": "ok",
            "deprecated": each.deprecated,
            **inspected,
            "settings": dict(made.settings) or None,
            "files": files,
            "size_bytes": sum(file.bytes for file in files),
            **outcome.value,
            "seconds": {"evaluate": outcome.seconds},
            "cpu_seconds": {"evaluate": outcome.cpu_seconds},
        }
    )


def bench(builds: Sequence[Path], load_data: LoadData, listener: Listener, **options: int) -> BenchRecord:
    """Time builds beside the first of them, see `bitpick.comparison.bench`.

    Args:
        builds: folders of builds, or model files, each run in the engine that runs its format as it is.
        load_data: gives the samples.
        listener: is told how it goes.
        options: `batch`, `threads`, `processes`, `pairs`.

    Raises:
        RequestError: there is no such build, or it does not fit the data.
        RunError: a build cannot be run.
    """
    with tempfile.TemporaryDirectory(prefix="bitpick-") as folder:
        executor = WorkerPool(threads=this_host().cores)
        opened = []
        try:
            for number, path in enumerate(builds):
                place = Path(folder) / str(number)
                place.mkdir()
                opened.append(_opened(path, place, executor))
        finally:
            executor.close()
        listener.phase("loading the data set")
        fits = [fit.fitted(load_data, each, str(path)) for path, (_, each) in zip(builds, opened, strict=True)]
        threads = options.get("threads", 1)
        made = [build for build, _ in opened]
        return timing.bench(made, fits[0].evaluation, lambda: WorkerPool(threads=threads), listener, **options)


def _kind(inspected: dict[str, Any]) -> Kind:
    """What a file from elsewhere is, by what its runtime executes."""
    if inspected["coverage"]["weights"] or inspected["coverage"]["macs"]:
        return "quantized"
    grids = [inspected["fingerprint"][name] for name in ("weights", "activations")]
    return "baseline" if all(g is None or g["dtype"] == "float32" for g in grids) else "reduced_precision"


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


def _opened(path: Path, folder: Path, executor: Executor) -> tuple[Build, Signature]:
    """A build, or a model file as the float32 build of the engine that runs its format; and what it takes and gives.

    Raises:
        RequestError: it is neither, or its engine is not here.
    """
    if not path.is_dir():
        return _as_build(path, folder, executor)
    made = open_build(path)
    if missing := engine(made.recipe.engine).missing():
        raise RecipeError(f"{made.recipe.id}: {missing}")
    if made.interface is None:
        raise ModelError(f"the build {path} does not say what it takes", mend="make it again with this version")
    return made, made.interface.signature


def _as_build(model: Path, folder: Path, executor: Executor) -> tuple[Build, Signature]:
    """A model file as the float32 build of the engine that runs its format as it is."""
    model_format = detect_format(model)
    runner, recipe = plan.runner_of(model_format)
    source = model.absolute()
    raw = source
    for hop in route(model_format, Format.RAW_ONNX) or ():
        made = folder / f"raw{hop.target.suffix}"
        payload = {"source": raw, "source_format": hop.source, "target_format": hop.target, "out": made}
        executor.run(hop.environment, f"{FUNCTIONS}:convert", payload)
        raw = made
    reader = runner.environment if raw == source else plan.runner_of(Format.RAW_ONNX)[0].environment
    signature = signature_of(raw, executor, reader)
    payload = {
        "source": source,
        "recipe": recipe,
        "samples": Samples(inputs=(), count=0, sha256="", preprocessing=()),
        "ranges": None,
        "interface": None,
        "folder": folder / "build",
        "root": folder,
    }
    executor.run(runner.environment, f"{FUNCTIONS}:build", payload)
    return open_build(folder / "build"), signature


def _check_writable(out: Path) -> None:
    """Refuse, before any work, an output that cannot be written."""
    parent = next(p for p in out.absolute().parents if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"the output {out} cannot be written: no right to write in {parent}")


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
