"""A step of a comparison, and the functions that do the steps, each in a worker process.

Everything they need crosses as JSON; everything large crosses as the path of a file.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import validate_call

from bitpick.conversion import litert_file, onnx_file
from bitpick.conversion import verify as verification
from bitpick.conversion.route import route
from bitpick.data.dataset import Samples
from bitpick.engines.engine import Build, Session, SessionSettings
from bitpick.engines.registry import engine
from bitpick.errors import ModelError
from bitpick.evidence import Finding, Metric, Unoptimized
from bitpick.executors.executor import Payload, resolve
from bitpick.fingerprint import Coverage, Fingerprint
from bitpick.interface import Interface
from bitpick.measures import coverage, findings, latency, memory, optimization, outputs, size
from bitpick.measures.tasks.registry import AnyTask
from bitpick.model import Format
from bitpick.preprocessing import Arrays
from bitpick.recipe import Recipe
from bitpick.result import Accuracy, File, Flag
from bitpick.result import Hop as HopRecord

FUNCTIONS = __name__
Shapes = list[tuple[int | None, ...] | None]
RECIPE_FILE = "recipe.yaml"


def predictions_file(target: str) -> str:
    """The file beside a build that has what it predicted on a target; `host` is this machine."""
    return "predictions.npz" if target == "host" else f"predictions@{target}.npz"


def read_outputs(path: Path) -> Arrays:
    """The outputs in a file that `run_form` or `evaluate` wrote."""
    with np.load(path, allow_pickle=False) as file:
        count = sum(name.startswith("output") for name in file.files)
        return tuple(file[f"output{i}"] for i in range(count))


@dataclass(frozen=True)
class Job:
    """A step: a function on a payload, in an environment, after other steps.

    Attributes:
        id: names it, within one plan.
        environment: the worker that runs it.
        function: one of this module's.
        payload: its keyword arguments.
        needs: ids of the jobs that must have succeeded before.
        subject: the row or the hop that it serves.
        module: where the function is; by default this module.
    """

    id: str
    environment: str
    function: str
    payload: Payload
    needs: tuple[str, ...] = ()
    subject: str = ""
    module: str = FUNCTIONS

    @property
    def path(self) -> str:
        """The function as executors take it."""
        return f"{self.module}:{self.function}"


@validate_call
def convert(source: Path, source_format: Format, target_format: Format, out: Path) -> None:
    """Run one conversion hop; the file appears whole or not at all."""
    hops = route(source_format, target_format)
    assert hops is not None
    assert len(hops) == 1
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f"partial-{out.name}")
    resolve(hops[0].convert)(str(source), str(partial))
    for extra in out.parent.glob(f"{partial.stem}.*"):
        extra.replace(out.with_name(extra.name.removeprefix("partial-")))


@validate_call
def run_form(source: Path, recipe: Recipe, samples: Samples, threads: int, shapes: Shapes, out: Path) -> None:
    """Run a form of the model as an engine's float32 build and keep the outputs as `.npz`, to verify a hop."""
    with _float_session(source, recipe, samples, threads) as session:
        found = outputs.whole(session, samples, shapes)
    _save(out, {f"output{i}": each for i, each in enumerate(found)})


@validate_call
def answer(
    source: Path, recipe: Recipe, samples: Samples, threads: int, task: AnyTask, shapes: Shapes, out: Path
) -> None:
    """Keep what a form of the model answers as `.npy`: it is what is right, where there are no labels."""
    with _float_session(source, recipe, samples, threads) as session:
        found, _ = outputs.answered(session, samples, shapes, task)
    partial = out.with_name(f"partial-{out.name}")
    np.save(partial, found)
    partial.replace(out)


@contextmanager
def _float_session(source: Path, recipe: Recipe, samples: Samples, threads: int) -> Iterator[Session]:
    """A form of the model, opened as an engine's float32 build."""
    each = engine(recipe.engine)
    with tempfile.TemporaryDirectory() as folder:
        build = each.build(source, recipe, samples, None, Path(folder))
        with each.open(build, SessionSettings(threads)) as session:
            yield session


def _save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as `.npz`; the file appears whole or not at all."""
    partial = path.with_name(f"partial-{path.name}")
    np.savez(partial, **arrays)  # type: ignore[arg-type]  # its stub takes keywords for options
    partial.replace(path)


@validate_call
def trace(function: str, source: Path, target: Path, inputs: Path, out: Path) -> list[str]:
    """Keep what each node of one side of a hop computes as `.npz`; returns the names, in the graph's order."""
    computed: dict[str, Any] = resolve(function)(str(source), str(target), str(inputs))
    np.savez(out, *computed.values())
    return list(computed)


@validate_call
def calibrate(source: Path, recipe: Recipe, samples: Samples, out: Path) -> None:
    """Collect the activation ranges that several recipes share."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f"partial-{out.name}")
    engine(recipe.engine).calibrate(source, recipe, samples, partial)
    partial.replace(out)


@dataclass(frozen=True)
class Built:
    """What `build` reports: the files, their paths relative to the run directory, and the session settings."""

    files: list[File]
    settings: dict[str, str]


@validate_call
def build(
    source: Path,
    recipe: Recipe,
    samples: Samples,
    ranges: Path | None,
    interface: Interface | None,
    folder: Path,
    root: Path,
) -> Built:
    """Make a build in a folder of its own, with the recipe beside it; the folder appears whole or not at all."""
    import yaml

    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=folder.parent))
    try:
        made = engine(recipe.engine).build(source, recipe, samples, ranges, partial)
        ships: dict[str, Any] = {"files": list(made.files)}
        if made.settings:
            ships["session"] = dict(made.settings)
        if interface is not None:
            ships["interface"] = interface.model_dump(mode="json", exclude_defaults=True)
        (partial / RECIPE_FILE).write_text(recipe.to_yaml() + yaml.safe_dump(ships))
        partial.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        partial.replace(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return Built(size.files(Build(recipe, folder, made.files), root), dict(made.settings))


def open_build(folder: Path) -> Build:
    """The build in a folder that `build` made.

    Raises:
        ModelError: the folder holds no build.
    """
    import yaml

    try:
        fields = yaml.safe_load((folder / RECIPE_FILE).read_text())
        files = tuple(fields.pop("files"))
        settings = dict(fields.pop("session", {}))
        interface = fields.pop("interface", None)
        fields.pop("id")
        if absent := [name for name in files if not (folder / name).is_file()]:
            raise ValueError(f"{', '.join(absent)} is not there")
        found = None if interface is None else Interface.model_validate(interface)
        return Build(Recipe.model_validate(fields), folder, files, settings, found)
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ModelError(f"{folder} holds no build: {error}", expected=f"a folder with a {RECIPE_FILE}") from error


@dataclass(frozen=True)
class Evaluated:
    """What `evaluate` reports: fields of a row."""

    samples: int
    metric: Metric
    metrics: list[Metric]
    accuracy: Accuracy | None


@validate_call
def evaluate(
    recipe: Recipe,
    folder: Path,
    samples: Samples,
    threads: int,
    task: AnyTask,
    shapes: Shapes,
    predictions: Path | None,
) -> Evaluated:
    """Evaluate a build from its files; answers and outputs are kept in the file `predictions`, if named.

    Args:
        recipe: the build's recipe.
        folder: where it is.
        samples: the evaluation set.
        threads: threads inside one inference.
        task: how it is judged.
        shapes: of one sample of each output; None is not checked.
        predictions: file for `predictions`, the answers, and `output0` and so on.
    """
    made = open_build(folder)
    assert made.recipe == recipe
    with engine(recipe.engine).open(made, SessionSettings(threads)) as session:
        answers, found = outputs.answered(session, samples, shapes, task)
    if predictions is not None:
        _save(predictions, {"predictions": answers} | {f"output{i}": each for i, each in enumerate(found)})
    targets = outputs.targets_of(samples)
    return Evaluated(
        samples=samples.count,
        metric=task.metric(answers, targets),
        metrics=task.metrics(answers, found, targets),
        accuracy=task.accuracy(answers, found, targets),
    )


@dataclass(frozen=True)
class Inspected:
    """What `inspect` reports: fields of a row."""

    fingerprint: Fingerprint
    coverage: Coverage | None
    flags: list[Flag]
    findings: list[Finding] | None
    weight_bytes: int
    unoptimized: Unoptimized | None


@validate_call
def inspect(
    recipe: Recipe,
    folder: Path,
    samples: Samples,
    threads: int,
    task: AnyTask,
    shapes: Shapes,
    asked_for: bool = True,
) -> Inspected:
    """Tell what the runtime really executes for a build, and whether its rewriting of the graph changes answers.

    Args:
        recipe: the build's recipe.
        folder: where it is.
        samples: the samples to run both ways.
        threads: threads inside one inference.
        task: says when answers differ.
        shapes: of one sample of each output; None is not checked.
        asked_for: whether the recipe is what somebody asked for, and not just how to run a file from elsewhere.

    Raises:
        EngineError: nothing of what the recipe asks for.
    """
    sample = next(samples.head(1).batches(1))
    each, made = engine(recipe.engine), open_build(folder)
    executed = each.inspect(made, sample)
    if asked_for:
        coverage.check(recipe, executed)
    differs = None
    if each.optimizes and recipe.kind != "baseline":

        def answered(optimize: bool) -> NDArray[Any]:
            with each.open(made, SessionSettings(threads, optimize)) as session:
                return outputs.answered(session, samples, shapes, task)[0]

        differs = optimization.unoptimized(task, answered(True), answered(False), outputs.targets_of(samples))
    return Inspected(
        fingerprint=coverage.fingerprint(executed),
        coverage=None if recipe.kind == "baseline" and asked_for else coverage.coverage(executed),
        flags=coverage.flags(recipe, executed, each.kept_as(recipe)) if asked_for else [],
        findings=findings.findings(recipe, each, executed, each.constants(made), size.total(made)) or None,
        weight_bytes=findings.weight_bytes(executed),
        unoptimized=differs,
    )


@validate_call
def bench_start(folder: Path, samples: Samples) -> None:
    """Open a build and run it: what a runtime loads once is then loaded, and not counted as the next build's memory.

    It stays open, lest the next one be given the memory that it leaves.
    """
    made = open_build(folder)
    session = engine(made.recipe.engine).open(made, SessionSettings())
    latency.hold("", session, next(samples.head(1).batches(1)), warm_seconds=0)


@validate_call
def bench_open(key: str, folder: Path, samples: Samples, threads: int, warm_seconds: float) -> int:
    """Open a build and keep it open, warm and ready to be timed, in this process.

    Args:
        key: names it.
        folder: the build.
        samples: its input, all of them in one run.
        threads: inside one inference.
        warm_seconds: for how long at most it is warmed up.

    Returns:
        Peak growth of the process's memory while it was opened and run once, in bytes.
    """
    made = open_build(folder)
    batch = next(samples.batches(samples.count))

    def opened() -> Session:
        session = engine(made.recipe.engine).open(made, SessionSettings(threads))
        session.run(session.prepare(batch))
        return session

    session, growth = memory.peak_growth(opened)
    latency.hold(key, session, batch, warm_seconds)
    return growth


@validate_call
def bench_many(key: str, samples: Samples, times: int) -> list[float]:
    """Time an open build with many samples in one run, so many times; see `latency.many`."""
    return latency.many(key, next(samples.batches(samples.count)), times)


@validate_call
def bench_blocks(keys: Sequence[str]) -> list[float]:
    """Time a block of each open build, in order; see `latency.blocks`."""
    return latency.blocks(keys)


@validate_call
def verify(source_format: Format, target_format: Format, reference: Path, found: Path) -> HopRecord:
    """Compare what both sides of a hop gave for the same samples. Whether it passed is in the record."""
    hops = route(source_format, target_format)
    assert hops is not None
    return verification.compare(hops[0], read_outputs(reference), read_outputs(found))


def describe(source: str) -> dict[str, Any]:
    """What an ONNX or LiteRT file takes and gives, see `onnx_file.describe`."""
    if source.endswith(Format.LITERT.suffix):
        return litert_file.describe(source)
    return onnx_file.describe(source)


def count(source: str) -> dict[str, int | None]:
    """Weights and multiply-accumulates of a clean graph, see `onnx_file.count`."""
    return onnx_file.count(source)
