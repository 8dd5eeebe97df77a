"""Evaluate one build, or one model file as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bitpick.artifacts import temporary
from bitpick.artifacts.store import Store
from bitpick.artifacts.watch import Watch
from bitpick.conversion.route import route
from bitpick.datasets.dataset import Samples
from bitpick.datasets.sampling import part
from bitpick.engines.engine import Build
from bitpick.engines.registry import engine
from bitpick.errors import BitpickError, DataError, ModelError, RecipeError
from bitpick.executors.pool import WorkerPool
from bitpick.measures import optimization, size
from bitpick.models.model import Format, Signature, model_files
from bitpick.models.source import Source
from bitpick.pipeline import fit, logs, making, suspicions
from bitpick.pipeline.arrays import read_outputs
from bitpick.pipeline.build_job import FUNCTIONS, open_build, predictions_file
from bitpick.pipeline.builds import Executors
from bitpick.pipeline.directory import predictions
from bitpick.pipeline.fit import LoadData
from bitpick.pipeline.forms import convert, runner_of, signature_of, with_activations
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.job import Job
from bitpick.pipeline.listener import Listener
from bitpick.pipeline.running import Runner
from bitpick.pipeline.schedule import Result
from bitpick.pipeline.trial import Trial
from bitpick.pipeline.trials import Answer, Measured, Trials
from bitpick.recipe import Kind
from bitpick.schema.judging import Judging
from bitpick.schema.run import Row
from bitpick.targets.host import this_host
from bitpick.tasks.classification import Classification

CHECK_SAMPLES = 1000


def evaluate(
    model: Source,
    load_data: LoadData,
    listener: Listener,
    judging: Judging | None = None,
    executor: Executors = WorkerPool,
) -> Row:
    """Evaluate a build, or a model in the engine that runs its format as it is.

    Raises:
        RequestError: the model or build does not exist, or does not fit the data.
        RunError: the evaluation failed.
    """
    watch = Watch()
    if model.path is not None and model.path.exists():
        watch.add(model_files(model.path))
    with workspace(executor) as (folder, runner, _):
        subject = open_as_build(model, folder, runner, load_data, listener)
        listener.phase("loading the data set")
        fitted = fit.fitted(load_data, subject.signature, model.name, judging)
        for note in fitted.dataset.notes:
            listener.note(note)
        samples = subject.with_activations(fitted.evaluation, runner)
        watch.add(samples.files)
        listener.phase(f"evaluating {Path(model.name).name}")
        inputs = _inputs(subject, fitted, samples, folder)
        fitted = _settled(subject, fitted, inputs, model, runner, folder)
        inputs = replace(inputs, task=fitted.task)
        if samples.labels is None and fitted.task.against_float:
            raise DataError(
                f"{fitted.dataset.name} has no labels, and one model by itself has nothing to agree with",
                expected="labels",
                fix="name them with --labels; without labels run bitpick compare with the float model, which "
                "judges every quantized build by how far it agrees with that",
            )
        for note in fitted.notes:
            listener.note(note)
        measurements = _measured(subject, inputs, runner, listener, folder, watch)
        if isinstance(fitted.task, Classification) and fitted.task.kind == "classification":
            warning = suspicions.other_order(predictions(folder), samples.targets(), fitted.task.classes)
            if warning:
                listener.note(warning)
        watch.check()
        return _row(model, subject, measurements)


@contextmanager
def workspace(executor: Executors) -> Iterator[tuple[Path, Runner, Path]]:
    """Yield a temporary folder, a runner that works in it, and a folder for logs."""
    with temporary.folder("run") as folder, logs.kept() as printed:
        workers = executor(printed, threads=this_host().cores)
        try:
            yield folder, Runner(workers, Store.default(), folder), printed
        finally:
            workers.close()


def _inputs(subject: OpenBuild, fitted: fit.Fitted, samples: Samples, folder: Path) -> Inputs:
    """Return the inputs of a plan for an existing build."""
    rewriting, _ = part(samples, optimization.checked(samples.count), folder / "rewriting.npy")
    return Inputs(
        source=subject.build.folder,
        format=Format.ONNX,
        signature=subject.signature,
        task=fitted.task,
        interface=fit.interface(subject.signature, samples, fitted.task),
        calibration=samples,
        training=samples,
        training_minutes=0,
        seed=0,
        evaluation=samples,
        check=samples,
        check_places=np.arange(samples.count),
        rewriting=rewriting,
        threads=this_host().cores,
        digests=np.empty(0, "S32"),
    )


def _settled(
    subject: OpenBuild, fitted: fit.Fitted, inputs: Inputs, model: Source, runner: Runner, folder: Path
) -> fit.Fitted:
    """Settle the task; if it depends on the outputs, run the build on some samples first."""
    build = subject.build
    environment, samples = engine(build.recipe.engine).environment, inputs.evaluation
    payload = {"recipe": build.recipe, "folder": build.folder.absolute(), "threads": inputs.threads}
    model_names = {"names": [tensor.name for tensor in subject.signature.outputs], "model": Path(model.name).name}
    function = "check_independence"
    stand_ins = {"model": None}  # the name is only for messages
    independence_payload = payload | {"samples": samples} | model_names
    runner.run(Job(function, environment, FUNCTIONS, function, independence_payload, stand_ins=stand_ins))
    if not fitted.unsettled:
        return fitted
    check_samples, out = samples.head(CHECK_SAMPLES), folder / "some.npz"
    payload |= {"samples": check_samples, "shapes": inputs.shapes, "out": out}
    runner.run(Job("run", environment, FUNCTIONS, "run", payload, ("out",)))
    return fitted.settled(check_samples, read_outputs(out))


def _measured(
    subject: OpenBuild, inputs: Inputs, runner: Runner, listener: Listener, folder: Path, watch: Watch
) -> Measured:
    """Run a trial of an existing build and return its measurements."""
    answers: list[Answer] = []
    trial = Trial(
        subject.build.recipe,
        subject.build.folder.absolute(),
        evaluation=inputs.evaluation,
        predictions=folder / predictions_file("host") if inputs.task.kind == "classification" else None,
        look="whole" if subject.raw is None else "file",
    )

    def on_ended(job: Job, result: Result) -> Result:
        watch.check()
        listener.ended(job)
        return result

    Trials(runner, 1, listener, on_ended).run([trial], inputs, lambda _, answer: answers.append(answer))
    (answer,) = answers
    if isinstance(answer, BitpickError):
        raise answer
    return answer


def _row(model: Source, subject: OpenBuild, measurements: Measured) -> Row:
    """Return the row of the build."""
    build = subject.build
    kind, row_id = build.recipe.kind, build.recipe.id
    inspected, evaluated = measurements["inspect"].value, measurements["evaluate"]
    if subject.raw is not None and (detected := _kind(inspected)) != "baseline":
        kind, row_id = detected, f"{build.recipe.engine}:{model.stem}.{model.sha256()[:8]}"
    files = size.files(build, build.folder)
    rewriting = measurements.get("check_rewriting")
    return Row.model_validate(
        {
            "id": row_id,
            "recipe": row_id,
            "engine": build.recipe.engine,
            "kind": kind,
            "recipe_fields": build.recipe if build.recipe.scoped else None,
            "status": "ok",
            "deprecated": engine(build.recipe.engine).deprecated,
            **inspected,
            "unoptimized": rewriting and rewriting.value,
            "settings": dict(build.settings) or None,
            "files": files,
            "size_bytes": sum(file.bytes for file in files),
            **{field: value for field, value in evaluated.value.items() if field != "predictions_sha256"},
            "seconds": {"evaluate": evaluated.seconds},
            "cpu_seconds": {"evaluate": evaluated.cpu_seconds},
        }
    )


def _kind(inspected: dict[str, Any]) -> Kind:
    """Return the kind of a foreign model file, from what its runtime executes."""
    if inspected["coverage"]["weights"] or inspected["coverage"]["macs"]:
        return "quantized"
    grids = [inspected["fingerprint"][name] for name in ("weights", "activations")]
    return "baseline" if all(grid is None or grid["dtype"] == "float32" for grid in grids) else "reduced_precision"


@dataclass(frozen=True)
class OpenBuild:
    """A build, or a model file treated as one.

    Attributes:
        build: the build.
        signature: its inputs and outputs.
        raw: the model as ONNX or LiteRT, and the environment that runs it; None for a build made from a recipe.
    """

    build: Build
    signature: Signature
    raw: tuple[Path, str] | None = None

    def with_activations(self, samples: Samples, runner: Runner) -> Samples:
        """Return the samples with the memory that the model takes for one of them, if known."""
        if self.raw is None:
            return samples.model_copy(update={"activations": self.build.activations})
        return with_activations(samples, self.raw[0], runner, self.raw[1])


def open_as_build(source: Source, folder: Path, runner: Runner, load_data: LoadData, listener: Listener) -> OpenBuild:
    """Open a build, or a model as the float32 build of the engine that runs its format.

    Raises:
        RequestError: it is neither, or its engine is not installed.
    """
    path = source.path
    if path is None or not path.is_dir() or (path / "saved_model.pb").exists():
        return _as_build(source, folder, runner, load_data, listener)
    build = open_build(path)
    if missing := engine(build.recipe.engine).missing():
        raise RecipeError(f"{build.recipe.id}: {missing}")
    source.check_trusted(f"the build {path} is for {build.recipe.engine}", engine(build.recipe.engine).runs_code(build))
    if build.interface is None:
        raise ModelError(f"the build {path} does not say what it takes", fix="make it again with this version")
    return OpenBuild(build, build.interface.signature)


def _as_build(source: Source, folder: Path, runner: Runner, load_data: LoadData, listener: Listener) -> OpenBuild:
    """Make a float32 build of a model with the engine that runs its format directly."""
    model_format = source.format()
    runner_engine, recipe = runner_of(model_format)
    source_file, notes = making.make(source, folder / f"made{model_format.suffix}", runner, load_data)
    raw = source_file
    for hop in route(model_format, Format.RAW_ONNX) or ():
        converted = folder / f"raw{hop.target.suffix}"
        notes += runner.run(convert(hop, raw, converted, None)).value
        raw = converted
    for note in notes:
        listener.note(note)
    environment = runner_engine.environment if raw == source_file else runner_of(Format.RAW_ONNX)[0].environment
    signature = signature_of(raw, runner, environment)
    payload = {
        "source": source_file,
        "recipe": recipe,
        "samples": Samples(inputs=(), count=0, sha256="", preprocessing=()),
        "ranges": None,
        "interface": None,
        "folder": folder / "build",
    }
    runner.run(Job("build", runner_engine.environment, FUNCTIONS, "build", payload, ("folder",)))
    return OpenBuild(open_build(folder / "build"), signature, (raw, environment))
