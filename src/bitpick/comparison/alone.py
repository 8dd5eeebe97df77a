"""A build, or a model file as it is, measured by itself or beside others."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitpick.artifacts.watch import Watch
from bitpick.conversion.route import route
from bitpick.datasets.dataset import Samples
from bitpick.datasets.sampling import part
from bitpick.engines.engine import Build
from bitpick.engines.registry import engine
from bitpick.errors import DataError, ModelError, RecipeError
from bitpick.executors.executor import Executor
from bitpick.executors.pool import WorkerPool
from bitpick.measures import optimization, size
from bitpick.models.model import Format, Signature, model_files
from bitpick.models.source import Source
from bitpick.pipeline import fit, form_job, inspect_job, logs, making, suspicions
from bitpick.pipeline.arrays import read_outputs
from bitpick.pipeline.fit import LoadData
from bitpick.pipeline.forms import measured, runner_of, signature_of
from bitpick.pipeline.job import FUNCTIONS, open_build, predictions_file
from bitpick.pipeline.listener import Listener
from bitpick.pipeline.store import predictions
from bitpick.recipe import Kind
from bitpick.schema.judging import Judging
from bitpick.schema.run import Row
from bitpick.schema.speed import BenchRecord
from bitpick.speed import bench as timing
from bitpick.targets.host import this_host
from bitpick.tasks.classification import Classification

CHECK_SAMPLES = 1000


def evaluate(model: Source, load_data: LoadData, listener: Listener, judging: Judging | None = None) -> Row:
    """Evaluate a build, or a model in the engine that runs its format as it is.

    Raises:
        RequestError: there is no such model or build, or it does not fit the data.
        RunError: the evaluation failed.
    """
    watch = Watch()
    with tempfile.TemporaryDirectory(prefix="bitpick-") as folder, logs.kept() as printed:
        executor = WorkerPool(printed, threads=this_host().cores)
        try:
            if model.path is not None and model.path.exists():
                watch.add(model_files(model.path))
            opened = _opened(model, Path(folder), executor, load_data, listener)
            made, signature, asked_for = opened.build, opened.signature, opened.raw is None
            each = engine(made.recipe.engine)
            listener.phase("loading the data set")
            fits = fit.fitted(load_data, signature, model.name, judging)
            for note in fits.dataset.notes:
                listener.note(note)
            samples = opened.measured(fits.evaluation, executor)
            watch.add(samples.files)
            listener.phase(f"evaluating {Path(model.name).name}")
            payload = {
                "recipe": made.recipe,
                "folder": made.folder.absolute(),
                "samples": samples,
                "threads": this_host().cores,
                "task": fits.task,
                "shapes": [tensor.shape for tensor in signature.outputs],
                "predictions": None,
            }
            told = {key: payload[key] for key in ("recipe", "folder", "samples", "threads")}
            told |= {"names": [tensor.name for tensor in signature.outputs], "model": Path(model.name).name}
            executor.run(each.environment, f"{FUNCTIONS}:check_independence", told)
            if fits.unsettled:
                some, out = samples.head(CHECK_SAMPLES), Path(folder) / "some.npz"
                fields = {key: value for key, value in payload.items() if key not in ("task", "predictions")}
                executor.run(each.environment, f"{FUNCTIONS}:run", {**fields, "samples": some, "out": out})
                fits = fits.settled(some, read_outputs(out))
                payload["task"] = fits.task
            if samples.labels is None and fits.task.against_float:
                raise DataError(
                    f"{fits.dataset.name} has no labels, and one model by itself has nothing to agree with",
                    expected="labels",
                    mend="name them with --labels; without labels run bitpick compare with the float model, which "
                    "judges every quantized build by how far it agrees with that",
                )
            for note in fits.notes:
                listener.note(note)
            if fits.task.kind == "classification":
                payload["predictions"] = Path(folder) / predictions_file("host")
            outcome = executor.run(each.environment, f"{FUNCTIONS}:evaluate", payload)
            if isinstance(fits.task, Classification) and payload["predictions"] is not None:
                said = suspicions.other_order(predictions(Path(folder)), samples.targets(), fits.task.classes)
                if said:
                    listener.note(said)
            inspected = _inspected(executor, payload, asked_for, Path(folder))
            files = size.files(made, made.folder)
            watch.check()
        finally:
            executor.close()
    kind, name = made.recipe.kind, made.recipe.id
    if not asked_for and (found := _kind(inspected)) != "baseline":
        kind, name = found, f"{each.name}:{model.stem}.{model.sha256()[:8]}"
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
            **{name: value for name, value in outcome.value.items() if name != "predictions_sha256"},
            "seconds": {"evaluate": outcome.seconds},
            "cpu_seconds": {"evaluate": outcome.cpu_seconds},
        }
    )


def bench(builds: Sequence[Source], load_data: LoadData, listener: Listener, **options: int) -> BenchRecord:
    """Time builds beside the first of them, see `bitpick.speed.bench`.

    Args:
        builds: folders of builds, or model files, each run in the engine that runs its format as it is.
        load_data: gives the samples.
        listener: is told how it goes.
        options: `batch`, `threads`, `processes`, `pairs`.

    Raises:
        RequestError: there is no such build, or it does not fit the data.
        RunError: a build cannot be run.
    """
    with tempfile.TemporaryDirectory(prefix="bitpick-") as folder, logs.kept() as printed:
        executor = WorkerPool(printed, threads=this_host().cores)
        opened = []
        try:
            for number, each in enumerate(builds):
                place = Path(folder) / str(number)
                place.mkdir()
                opened.append(_opened(each, place, executor, load_data, listener))
        finally:
            executor.close()
        listener.phase("loading the data set")
        fits = [fit.fitted(load_data, found.signature, each.name) for each, found in zip(builds, opened, strict=True)]
        threads = options.get("threads", 1)
        made = [each.build for each in opened]
        return timing.bench(made, fits[0].evaluation, lambda: WorkerPool(printed, threads=threads), listener, **options)


def _inspected(executor: Executor, payload: dict[str, Any], asked_for: bool, folder: Path) -> dict[str, Any]:
    """What its runtime makes of a build that was evaluated with this payload; see `inspect_job`."""
    each, samples = engine(payload["recipe"].engine), payload["samples"]
    look = {key: payload[key] for key in ("recipe", "folder", "samples", "threads", "shapes")}
    told = look | {"asked_for": asked_for}
    found: dict[str, Any] = executor.run(each.environment, f"{inspect_job.FUNCTIONS}:inspect", told).value
    if each.optimizes and payload["recipe"].kind != "baseline":
        some, _ = part(samples, optimization.checked(samples.count), folder / "rewriting.npy")
        look |= {"samples": some, "task": payload["task"]}
        found["unoptimized"] = executor.run(each.environment, f"{inspect_job.FUNCTIONS}:check_rewriting", look).value
    return found


def _kind(inspected: dict[str, Any]) -> Kind:
    """What a file from elsewhere is, by what its runtime executes."""
    if inspected["coverage"]["weights"] or inspected["coverage"]["macs"]:
        return "quantized"
    grids = [inspected["fingerprint"][name] for name in ("weights", "activations")]
    return "baseline" if all(g is None or g["dtype"] == "float32" for g in grids) else "reduced_precision"


@dataclass(frozen=True)
class _Opened:
    """A build, or a model as one.

    Attributes:
        build: the build.
        signature: what it takes and gives.
        raw: the model as ONNX or LiteRT, and where that is run; None for a build, which somebody asked for by a recipe.
    """

    build: Build
    signature: Signature
    raw: tuple[Path, str] | None = None

    def measured(self, samples: Samples, executor: Executor) -> Samples:
        """Samples that know how much memory the model takes for one of them, where that is known."""
        if self.raw is None:
            return samples.model_copy(update={"activations": self.build.activations})
        return measured(samples, self.raw[0], executor, self.raw[1])


def _opened(source: Source, folder: Path, executor: Executor, load_data: LoadData, listener: Listener) -> _Opened:
    """A build, or a model as the float32 build of the engine that runs its format.

    Raises:
        RequestError: it is neither, or its engine is not here.
    """
    path = source.path
    if path is None or not path.is_dir() or (path / "saved_model.pb").exists():
        return _as_build(source, folder, executor, load_data, listener)
    made = open_build(path)
    if missing := engine(made.recipe.engine).missing():
        raise RecipeError(f"{made.recipe.id}: {missing}")
    if made.interface is None:
        raise ModelError(f"the build {path} does not say what it takes", mend="make it again with this version")
    return _Opened(made, made.interface.signature)


def _as_build(source: Source, folder: Path, executor: Executor, load_data: LoadData, listener: Listener) -> _Opened:
    """A model as the float32 build of the engine that runs its format as it is."""
    model_format = source.format()
    runner, recipe = runner_of(model_format)
    start, notes = making.make(source, folder / f"made{model_format.suffix}", executor, load_data)
    raw = start
    for hop in route(model_format, Format.RAW_ONNX) or ():
        made = folder / f"raw{hop.target.suffix}"
        payload = {"source": raw, "source_format": hop.source, "target_format": hop.target, "out": made}
        notes += executor.run(hop.environment, f"{form_job.FUNCTIONS}:convert", payload).value
        raw = made
    for note in notes:
        listener.note(note)
    reader = runner.environment if raw == start else runner_of(Format.RAW_ONNX)[0].environment
    signature = signature_of(raw, executor, reader)
    payload = {
        "source": start,
        "recipe": recipe,
        "samples": Samples(inputs=(), count=0, sha256="", preprocessing=()),
        "ranges": None,
        "interface": None,
        "folder": folder / "build",
        "root": folder,
    }
    executor.run(runner.environment, f"{FUNCTIONS}:build", payload)
    return _Opened(open_build(folder / "build"), signature, (raw, reader))
