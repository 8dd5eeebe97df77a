"""What commands and notebooks do with one model or build at a time."""

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
from bitpick.schema.settings import only, with_options
from bitpick.schema.speed import BenchRecord
from bitpick.speed.files import bench_files
from bitpick.tasks.registry import checked

QUANTIZE_OPTIONS = ("calibration_size", "seed")
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
    """Convert a model, each hop verified on real samples.

    Args:
        model: the model; a `Source` where opening it needs options.
        to: `onnx`, the clean graph; `pytorch`, a `torch.fx.GraphModule` saved with `torch.save`; `litert`, a float
            LiteRT model.
        out: the file to write.
        data: where the samples come from, see `compare`.
        example: see `compare`.
        data_options: how it is read, see `bitpick.DataOptions`.
        listener: is told how it goes.
        progress: is told how far a download is.

    Returns:
        The hops, with what was measured on each.

    Raises:
        RequestError: the request is wrong; nothing was written.
        RunError: a hop failed; nothing was written.

    Examples:
        >>> [hop.passed for hop in convert(model, "onnx", "clean.onnx", (images, labels))]
        [True]
    """
    target = making.target_format(to)
    read = data_source(data, data_options)
    given = making.ModelAndData(
        source_of(model, read, example), read.name, partial(read.load, progress=progress), listener or Silent()
    )
    return making.convert(given, target, Path(out))


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
        model: the model; a `Source` where opening it needs options.
        recipe: a recipe id, or a YAML file that holds one.
        out: a new or empty directory for the build.
        data: where the calibration samples come from, see `compare`.
        example: see `compare`.
        data_options: how it is read, see `bitpick.DataOptions`.
        accept_baseline: go on with a float model that makes no sense of the data.
        listener: is told how it goes.
        progress: is told how far a download is.
        options: single options by name: see the table below.

    Returns:
        The files that ship, their paths relative to `out`.

    Raises:
        RequestError: the request is wrong; nothing was written.
        RunError: the build failed; nothing was written.
        TypeError: there is no such option.

    Examples:
        >>> [file.path for file in quantize(model, "onnxruntime:s8u8-per_channel-minmax", "build", (images, labels))]
        ['model.onnx']
    """
    asked = only(QUANTIZE_OPTIONS, options)
    read = data_source(data, data_options)
    given = making.ModelAndData(
        source_of(model, read, example), read.name, partial(read.load, progress=progress), listener or Silent()
    )
    return making.quantize(given, Recipe.named(recipe), Path(out), asked.calibration, accept_baseline)


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
    """Evaluate a build, or a model in the engine that runs its format as it is.

    Args:
        model: the directory of a build, or a model.
        data: the data set, see `compare`.
        example: see `compare`.
        data_options: how it is read, see `bitpick.DataOptions`.
        listener: is told how it goes.
        progress: is told how far a download is.
        options: single options by name: see the table below.

    Raises:
        RequestError: there is no such model or build, or it does not fit the data.
        RunError: the evaluation failed.
        TypeError: there is no such option.

    Examples:
        >>> evaluate(model, (images, labels)).metric.name
        'accuracy'
    """
    judging = checked(Judging(**only(EVALUATE_OPTIONS, options).metric.recorded()))
    read = data_source(data, data_options)
    source = source_of(model, read, example)
    return evaluating.evaluate(source, _reading(read, source, progress), listener or Silent(), judging)


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
    """Time builds beside the first of them, in pairs of blocks in random order, in fresh processes.

    Args:
        builds: directories of builds, or model files; the first is the reference.
        data: where the input comes from, see `compare`.
        data_options: how it is read, see `bitpick.DataOptions`.
        batch: samples in one run.
        threads: inside one inference.
        processes: how many times everything is opened anew.
        pairs: pairs of blocks in each process.
        listener: is told how it goes.
        progress: is told how far a download is.

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
    read = data_source(data, data_options)
    return bench_files(sources, _reading(read, sources[0], progress), listener or Silent(), WorkerPool, **options)


def _reading(read: DataSource, model: Source, progress: Progress) -> LoadData:
    """Reads a data set, for a build as it was read when that was made, unless the options say otherwise."""
    folder = Path(model.name)
    if (folder / RECIPE_FILE).is_file() and (told := open_build(folder).interface) is not None:
        read = read.prepared_like({each.name: each.preprocessing for each in told.inputs}, told.classes)
    return partial(read.load, progress=progress)
