"""Convert, quantize, evaluate and time single models and builds."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from bitpick.api.model_objects import Model, source_of
from bitpick.datasets.load import Data, DataSource, Options, data_source
from bitpick.datasets.progress import Progress, silent
from bitpick.errors import RequestError
from bitpick.executors.pool import WorkerPool
from bitpick.models.source import Source
from bitpick.pipeline import builds as making
from bitpick.pipeline import evaluating
from bitpick.pipeline.build_job import RECIPE_FILE, open_build
from bitpick.pipeline.fit import LoadData
from bitpick.pipeline.listener import Listener, Silent
from bitpick.recipe import Recipe
from bitpick.schema import option
from bitpick.schema.groups import Metric
from bitpick.schema.hop import Hop
from bitpick.schema.judging import Judging
from bitpick.schema.run import File, Row
from bitpick.schema.settings import only_options, with_options
from bitpick.schema.speed import BenchRecord
from bitpick.speed.files import bench_files
from bitpick.tasks.registry import checked

QUANTIZE_OPTIONS = ("calibration_size", "seed", "training_minutes")
EVALUATE_OPTIONS = tuple(option.options(Metric))


def convert(
    model: Model,
    to: str,
    out: str | Path,
    data: Data = "cifar10",
    *,
    example: Any = None,
    data_options: Options = None,
    listener: Listener | None = None,
    progress: Progress = silent,
) -> list[Hop]:
    """Convert a model, and verify each hop on real samples.

    Args:
        model: the model; a `Source` if opening it needs options.
        to: `onnx` for the clean graph; `pytorch` for a `torch.fx.GraphModule` saved with `torch.save`; `litert` for a
            float LiteRT model.
        out: the file to write.
        data: where the samples come from, see `compare`.
        example: see `compare`.
        data_options: how to read the data set, see `bitpick.DataOptions`.
        listener: receives events as the work goes on.
        progress: receives the progress of downloads.

    Returns:
        The hops, with their measurements.

    Raises:
        RequestError: the request is wrong; nothing was written.
        RunError: a hop failed; nothing was written.

    Examples:
        >>> [hop.passed for hop in convert(model, "onnx", "clean.onnx", (images, labels))]
        [True]
    """
    target = making.target_format(to)
    job = _model_and_data(model, data, example, data_options, listener, progress)
    return making.convert(job, target, Path(out))


def _model_and_data(
    model: Model, data: Data, example: Any, data_options: Options, listener: Listener | None, progress: Progress
) -> making.ModelAndData:
    data_set = data_source(data, data_options)
    return making.ModelAndData(
        source_of(model, data_set, example),
        data_set.name,
        partial(data_set.load, progress=progress),
        listener or Silent(),
    )


def quantize(
    model: Model,
    recipe: str | Recipe,
    out: str | Path,
    data: Data = "cifar10",
    *,
    example: Any = None,
    data_options: Options = None,
    accept_baseline: bool = False,
    listener: Listener | None = None,
    progress: Progress = silent,
    **options: Any,
) -> list[File]:
    """Make one build.

    Args:
        model: the model; a `Source` if opening it needs options.
        recipe: a recipe id, or a YAML file with a recipe.
        out: a new or empty directory for the build.
        data: where the calibration samples come from, see `compare`.
        example: see `compare`.
        data_options: how to read the data set, see `bitpick.DataOptions`.
        accept_baseline: continue even if the float model makes no sense of the data.
        listener: receives events as the work goes on.
        progress: receives the progress of downloads.
        options: single options by name, see the table below.

    Returns:
        The files that ship, with paths relative to `out`.

    Raises:
        RequestError: the request is wrong; nothing was written.
        RunError: the build failed; nothing was written.
        TypeError: there is no such option.

    Examples:
        >>> [file.path for file in quantize(model, "onnxruntime:s8u8-per_channel-minmax", "build", (images, labels))]
        ['model.onnx']
    """
    settings = only_options(QUANTIZE_OPTIONS, options)
    job = _model_and_data(model, data, example, data_options, listener, progress)
    return making.quantize(job, Recipe.named(recipe), Path(out), settings.calibration, accept_baseline)


quantize.__signature__ = with_options(quantize, QUANTIZE_OPTIONS)  # type: ignore[attr-defined]  # for help()


def evaluate(
    model: Model,
    data: Data = "cifar10",
    *,
    example: Any = None,
    data_options: Options = None,
    listener: Listener | None = None,
    progress: Progress = silent,
    **options: Any,
) -> Row:
    """Evaluate a build, or a model in the engine that runs its format.

    Args:
        model: the directory of a build, or a model.
        data: the data set, see `compare`.
        example: see `compare`.
        data_options: how to read the data set, see `bitpick.DataOptions`.
        listener: receives events as the work goes on.
        progress: receives the progress of downloads.
        options: single options by name, see the table below.

    Raises:
        RequestError: there is no such model or build, or it does not fit the data.
        RunError: the evaluation failed.
        TypeError: there is no such option.

    Examples:
        >>> evaluate(model, (images, labels)).metric.name
        'accuracy'
    """
    judging = checked(Judging(**only_options(EVALUATE_OPTIONS, options).metric.recorded()))
    data_set = data_source(data, data_options)
    source = source_of(model, data_set, example)
    return evaluating.evaluate(source, _loader(data_set, source, progress), listener or Silent(), judging)


evaluate.__signature__ = with_options(evaluate, EVALUATE_OPTIONS)  # type: ignore[attr-defined]  # for help()


def bench(
    *builds: str | Path | Source,
    data: Data = "cifar10",
    data_options: Options = None,
    batch: int = 1,
    threads: int = 1,
    processes: int = 10,
    pairs: int = 20,
    listener: Listener | None = None,
    progress: Progress = silent,
) -> BenchRecord:
    """Time builds against the first of them, in pairs of blocks in random order, in fresh processes.

    Args:
        builds: directories of builds, or model files; the first is the reference.
        data: where the input comes from, see `compare`.
        data_options: how to read the data set, see `bitpick.DataOptions`.
        batch: samples in one run.
        threads: threads inside one inference.
        processes: how many fresh processes to time in.
        pairs: pairs of blocks in each process.
        listener: receives events as the work goes on.
        progress: receives the progress of downloads.

    Raises:
        RequestError: there is no such model or build, or it does not fit the data.
        RunError: a build cannot be run.
    """
    if len(builds) < 2:
        raise RequestError(f"{len(builds)} build to time", expected="two or more; the first is the reference")
    for name, value in (("batch", batch), ("threads", threads), ("processes", processes), ("pairs", pairs)):
        if value < 1:
            raise RequestError(f"the number of {name} {value} is out of range", expected="at least 1")
    options = {"batch": batch, "threads": threads, "processes": processes, "pairs": pairs}
    sources = [Source.of(build) for build in builds]
    data_set = data_source(data, data_options)
    return bench_files(sources, _loader(data_set, sources[0], progress), listener or Silent(), WorkerPool, **options)


def _loader(data_set: DataSource, model: Source, progress: Progress) -> LoadData:
    """Return the loader of a data set; a build's data is read as it was when it was made, unless options override."""
    folder = Path(model.name)
    if (folder / RECIPE_FILE).is_file() and (interface := open_build(folder).interface) is not None:
        data_set = data_set.prepared_like({i.name: i.preprocessing for i in interface.inputs}, interface.classes)
    return partial(data_set.load, progress=progress)
