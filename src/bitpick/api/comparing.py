"""Compare builds; the model and the data that it does that with when none are given."""

from __future__ import annotations

import sys
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from bitpick.api.model_objects import Model, source_of
from bitpick.api.runs import Comparison, write_report
from bitpick.comparison.compare import Comparison as _Comparison
from bitpick.datasets.dataset import Dataset, dataset_name
from bitpick.datasets.load import Data, Options, data_source, load
from bitpick.datasets.progress import Progress, silent
from bitpick.executors.pool import Launch, WorkerPool
from bitpick.models.source import Source
from bitpick.pipeline.directory import RunDirectory
from bitpick.pipeline.listener import Listener, Silent
from bitpick.pipeline.request import job_limits, make_request, new_run
from bitpick.schema.settings import Settings, with_options
from bitpick.targets.host import this_host
from bitpick.targets.target import TARGETS, target
from bitpick.version import installed_version


def bundled_model() -> Path:
    """The ResNet8 that comes with bitpick: as Keras where Keras is installed, else as the clean ONNX made from it."""
    with_keras = all(installed_version(p) for p in ("keras", "tf2onnx"))
    return Path(str(files("bitpick") / "assets" / f"resnet8_cifar10{'.keras' if with_keras else '.onnx'}"))


def compare(
    model: Model | None = None,
    data: Data = "cifar10",
    settings: Settings | None = None,
    *,
    example: Any = None,
    data_options: Options = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    accept_baseline: bool = False,
    listener: Listener | None = None,
    progress: Progress = silent,
    **options: Any,
) -> Comparison:
    """Make and measure every build worth shipping, and name the one to ship.

    Args:
        model: the model, a `Source` where opening it needs options; None is the bundled ResNet8.
        data: `cifar10`; the path of a data set, see docs/how-to/data.md; or samples: arrays, a pair of inputs and
            labels, a dict of arrays, or an iterable.
        settings: the options in groups, as one value that can be kept; by default those that everybody gets.
        example: inputs that a `torch.nn.Module` is exported with, as a tensor or an array of shape (n, …), or a tuple
            with one for each input; by default the first samples of the data set.
        data_options: how it is read, see `bitpick.DataOptions`.
        out: the run directory; by default `runs/<model>-<data>-<digest of the request>`, which the same request
            continues. Options that change the verdict alone are no part of that digest.
        overwrite: replace another request's run in `out`.
        accept_baseline: go on with a float model that makes no sense of the data.
        listener: is told how it goes.
        progress: is told how far a download is.
        options: single options, beside those of `settings` or instead of them: see the table below.

    Returns:
        The finished run; its directory holds `run.json`, `report.html`, `report.md` and `builds/`.

    Raises:
        RequestError: the request is wrong; nothing was written.
        RunError: the run failed, and run.json says how far it came.
        TypeError: there is no such option.

    Examples:
        >>> recipe = "onnxruntime:s8u8-per_channel-minmax+reduced_range"
        >>> found = compare(model, (images, labels), recipes=[recipe], targets=["host"], bench_seconds=0)
        >>> [(row.id, row.status) for row in found.rows]
        [('onnxruntime:float32', 'ok'), ('onnxruntime:s8u8-per_channel-minmax+reduced_range', 'ok')]

        Without labels builds are compared with the float model:

        >>> found = compare(model, images, recipes=[recipe], targets=["host"], bench_seconds=0)
        >>> found.run.task, found.rows[1].metric.name
        ('agreement', 'agreement')
    """
    asked = (settings or Settings()).but(**options)
    read = data_source(data, data_options)
    source = source_of(bundled_model() if model is None else model, read, example)
    request, model_format = make_request(source, read.name, asked, read.options.said, accept_baseline)
    limits, host = job_limits(asked.work), this_host()
    parallel = asked.work.jobs or host.cores
    threads = max(1, host.cores // parallel)
    folder = default_folder(request.model, request.data, request.sha256) if out is None else Path(out)
    directory = RunDirectory(folder.absolute(), new_run(request, model_format, host, threads, "compare"))
    others = (target(word) for word in asked.targets.targets if word not in ("host", *TARGETS))
    launches = {
        each.name: Launch(each.prefix, each.interpreter or sys.executable) for each in (*TARGETS.values(), *others)
    }
    pool = WorkerPool(directory.logs, threads, limits, launches, parallel)
    fresh = partial(WorkerPool, directory.logs, 1, limits)
    comparison = _Comparison(directory, host, pool, parallel, listener or Silent(), fresh)
    try:
        comparison.compare(partial(read.load, progress=progress), overwrite)
    finally:
        if directory.run.state in ("complete", "failed", "interrupted"):
            write_report(directory.root, directory.run)
    return Comparison(folder, directory.run)


compare.__signature__ = with_options(compare)  # type: ignore[attr-defined]  # for help() and notebooks


def default_folder(model: str, data: str, digest: str) -> Path:
    """Where a run goes that was given no place."""
    return Path("runs") / f"{Source(model).stem}-{dataset_name(Path(data))}-{digest[:8]}"


def data(name: Data = "cifar10", *, data_options: Options = None, progress: Progress = silent) -> Dataset:
    """Fetch a data set by name, or read it, into the cache.

    Raises:
        DataError: no such data set, or no way to it.
    """
    return load(name, options=data_options, progress=progress)
