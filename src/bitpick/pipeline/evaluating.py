"""A build, or a model file as it is, evaluated by itself."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

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
from bitpick.pipeline import fit, logs, making, plan, suspicions
from bitpick.pipeline.arrays import read_outputs
from bitpick.pipeline.build_job import FUNCTIONS, open_build, predictions_file
from bitpick.pipeline.builds import Executors
from bitpick.pipeline.directory import predictions
from bitpick.pipeline.fit import LoadData
from bitpick.pipeline.forms import measured, runner_of, signature_of
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
        RequestError: there is no such model or build, or it does not fit the data.
        RunError: the evaluation failed.
    """
    watch = Watch()
    if model.path is not None and model.path.exists():
        watch.add(model_files(model.path))
    with working(executor) as (folder, runner, _):
        found = opened(model, folder, runner, load_data, listener)
        listener.phase("loading the data set")
        fits = fit.fitted(load_data, found.signature, model.name, judging)
        for note in fits.dataset.notes:
            listener.note(note)
        samples = found.measured(fits.evaluation, runner)
        watch.add(samples.files)
        listener.phase(f"evaluating {Path(model.name).name}")
        inputs = _inputs(found, fits, samples, folder)
        fits = _settled(found, fits, inputs, model, runner, folder)
        inputs = replace(inputs, task=fits.task)
        if samples.labels is None and fits.task.against_float:
            raise DataError(
                f"{fits.dataset.name} has no labels, and one model by itself has nothing to agree with",
                expected="labels",
                fix="name them with --labels; without labels run bitpick compare with the float model, which "
                "judges every quantized build by how far it agrees with that",
            )
        for note in fits.notes:
            listener.note(note)
        measured = _measured(found, inputs, runner, listener, folder, watch)
        if isinstance(fits.task, Classification) and fits.task.kind == "classification":
            said = suspicions.other_order(predictions(folder), samples.targets(), fits.task.classes)
            if said:
                listener.note(said)
        watch.check()
        return _row(model, found, measured)


@contextmanager
def working(executor: Executors) -> Iterator[tuple[Path, Runner, Path]]:
    """A folder that does not outlive what is done in it, a runner for that, and a folder for its logs."""
    with tempfile.TemporaryDirectory(prefix="bitpick-") as name, logs.kept() as printed:
        workers = executor(printed, threads=this_host().cores)
        try:
            yield Path(name), Runner(workers, Store.default(), Path(name)), printed
        finally:
            workers.close()


def _inputs(found: Opened, fits: fit.Fitted, samples: Samples, folder: Path) -> Inputs:
    """What a plan is made from, of a build that is there."""
    some, _ = part(samples, optimization.checked(samples.count), folder / "rewriting.npy")
    return Inputs(
        source=found.build.folder,
        format=Format.ONNX,
        signature=found.signature,
        task=fits.task,
        interface=fit.interface(found.signature, samples, fits.task),
        calibration=samples,
        evaluation=samples,
        check=samples,
        check_places=np.arange(samples.count),
        rewriting=some,
        threads=this_host().cores,
        digests=np.empty(0, "S32"),
    )


def _settled(
    found: Opened, fits: fit.Fitted, inputs: Inputs, model: Source, runner: Runner, folder: Path
) -> fit.Fitted:
    """What the model and the data set are for, once the build has been run on some samples where that must be."""
    made = found.build
    environment, samples = engine(made.recipe.engine).environment, inputs.evaluation
    payload = {"recipe": made.recipe, "folder": made.folder.absolute(), "threads": inputs.threads}
    names = {"names": [tensor.name for tensor in found.signature.outputs], "model": Path(model.name).name}
    function = "check_independence"
    stands = {"model": None}  # its name is for messages
    whole = payload | {"samples": samples} | names
    runner.run(Job(function, environment, FUNCTIONS, function, whole, stands=stands))
    if not fits.unsettled:
        return fits
    some, out = samples.head(CHECK_SAMPLES), folder / "some.npz"
    payload |= {"samples": some, "shapes": inputs.shapes, "out": out}
    runner.run(Job("run", environment, FUNCTIONS, "run", payload, ("out",)))
    return fits.settled(some, read_outputs(out))


def _measured(
    found: Opened, inputs: Inputs, runner: Runner, listener: Listener, folder: Path, watch: Watch
) -> Measured:
    """What a trial of a build that is there gives."""
    answers: list[Answer] = []
    trial = Trial(
        found.build.recipe,
        found.build.folder.absolute(),
        evaluation=inputs.evaluation,
        predictions=folder / predictions_file("host") if inputs.task.kind == "classification" else None,
        look="whole" if found.raw is None else "file",
    )

    def noted(job: Job, result: Result) -> Result:
        watch.check()
        listener.ended(job)
        return result

    Trials(runner, 1, listener, noted).run([trial], inputs, lambda _, answer: answers.append(answer))
    (answer,) = answers
    if isinstance(answer, BitpickError):
        raise answer
    return answer


def _row(model: Source, found: Opened, measured: Measured) -> Row:
    """The row of a build that was evaluated by itself."""
    made = found.build
    kind, name = made.recipe.kind, made.recipe.id
    inspected, evaluated = measured["inspect"].value, measured["evaluate"]
    if found.raw is not None and (read := _kind(inspected)) != "baseline":
        kind, name = read, f"{made.recipe.engine}:{model.stem}.{model.sha256()[:8]}"
    files = size.files(made, made.folder)
    rewriting = measured.get("check_rewriting")
    return Row.model_validate(
        {
            "id": name,
            "recipe": name,
            "engine": made.recipe.engine,
            "kind": kind,
            "recipe_fields": made.recipe if made.recipe.scoped else None,
            "status": "ok",
            "deprecated": engine(made.recipe.engine).deprecated,
            **inspected,
            "unoptimized": rewriting and rewriting.value,
            "settings": dict(made.settings) or None,
            "files": files,
            "size_bytes": sum(file.bytes for file in files),
            **{field: value for field, value in evaluated.value.items() if field != "predictions_sha256"},
            "seconds": {"evaluate": evaluated.seconds},
            "cpu_seconds": {"evaluate": evaluated.cpu_seconds},
        }
    )


def _kind(inspected: dict[str, Any]) -> Kind:
    """What a file from elsewhere is, by what its runtime executes."""
    if inspected["coverage"]["weights"] or inspected["coverage"]["macs"]:
        return "quantized"
    grids = [inspected["fingerprint"][name] for name in ("weights", "activations")]
    return "baseline" if all(g is None or g["dtype"] == "float32" for g in grids) else "reduced_precision"


@dataclass(frozen=True)
class Opened:
    """A build, or a model as one.

    Attributes:
        build: the build.
        signature: what it takes and gives.
        raw: the model as ONNX or LiteRT, and where that is run; None for a build, which somebody asked for by a recipe.
    """

    build: Build
    signature: Signature
    raw: tuple[Path, str] | None = None

    def measured(self, samples: Samples, runner: Runner) -> Samples:
        """Samples that know how much memory the model takes for one of them, where that is known."""
        if self.raw is None:
            return samples.model_copy(update={"activations": self.build.activations})
        return measured(samples, self.raw[0], runner, self.raw[1])


def opened(source: Source, folder: Path, runner: Runner, load_data: LoadData, listener: Listener) -> Opened:
    """A build, or a model as the float32 build of the engine that runs its format.

    Raises:
        RequestError: it is neither, or its engine is not here.
    """
    path = source.path
    if path is None or not path.is_dir() or (path / "saved_model.pb").exists():
        return _as_build(source, folder, runner, load_data, listener)
    made = open_build(path)
    if missing := engine(made.recipe.engine).missing():
        raise RecipeError(f"{made.recipe.id}: {missing}")
    if made.interface is None:
        raise ModelError(f"the build {path} does not say what it takes", fix="make it again with this version")
    return Opened(made, made.interface.signature)


def _as_build(source: Source, folder: Path, runner: Runner, load_data: LoadData, listener: Listener) -> Opened:
    """A model as the float32 build of the engine that runs its format as it is."""
    model_format = source.format()
    each, recipe = runner_of(model_format)
    start, notes = making.make(source, folder / f"made{model_format.suffix}", runner, load_data)
    raw = start
    for hop in route(model_format, Format.RAW_ONNX) or ():
        made = folder / f"raw{hop.target.suffix}"
        notes += runner.run(plan.convert(hop, raw, made, None)).value
        raw = made
    for note in notes:
        listener.note(note)
    reader = each.environment if raw == start else runner_of(Format.RAW_ONNX)[0].environment
    signature = signature_of(raw, runner, reader)
    payload = {
        "source": start,
        "recipe": recipe,
        "samples": Samples(inputs=(), count=0, sha256="", preprocessing=()),
        "ranges": None,
        "interface": None,
        "folder": folder / "build",
    }
    runner.run(Job("build", each.environment, FUNCTIONS, "build", payload, ("folder",)))
    return Opened(open_build(folder / "build"), signature, (raw, reader))
