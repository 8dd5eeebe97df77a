"""Compare builds, by default those of the bundled model on CIFAR-10."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from bitpick.api.model_objects import Model, source_of
from bitpick.api.runs import Comparison, write_report
from bitpick.comparison.compare import Choose
from bitpick.comparison.compare import Comparison as _ComparisonRun
from bitpick.datasets.dataset import Dataset, dataset_name
from bitpick.datasets.load import Data, Options, data_source, load
from bitpick.datasets.progress import Progress, silent
from bitpick.executors.pool import Launch, WorkerPool
from bitpick.models.source import Source
from bitpick.pipeline.directory import RunDirectory
from bitpick.pipeline.fit import LoadData
from bitpick.pipeline.listener import Listener, Silent
from bitpick.pipeline.request import job_limits, make_request, new_run
from bitpick.recipe import BEST
from bitpick.schema.other_groups import Hunt
from bitpick.schema.run import Run
from bitpick.schema.settings import Settings, with_options
from bitpick.searching.search import Search
from bitpick.targets.host import this_host
from bitpick.targets.target import TARGETS, target
from bitpick.version import installed_version


def bundled_model() -> Path:
    """Return the path of the bundled ResNet8: a Keras file if Keras is installed, else its clean ONNX graph."""
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
        model: the model; a `Source` if opening it needs options; None for the bundled ResNet8.
        data: `cifar10`; the path of a data set, see docs/how-to/data.md; or samples: arrays, a pair of inputs and
            labels, a dict of arrays, or an iterable.
        settings: the options in groups, as one reusable value; the defaults if None.
        example: inputs to export a `torch.nn.Module` with: a tensor or array of shape (n, …), or a tuple with one for
            each input; by default the first samples of the data set.
        data_options: how to read the data set, see `bitpick.DataOptions`.
        out: the run directory; by default `runs/<model>-<data>-<digest of the request>`, where the same request
            continues. Options that only change the verdict do not enter the digest.
        overwrite: replace another request's run in `out`.
        accept_baseline: continue even if the float model makes no sense of the data.
        listener: receives events as the work goes on.
        progress: receives the progress of downloads.
        options: single options, which override those of `settings`, see the table below.

    Returns:
        The finished run. Its directory holds `run.json`, `report.html`, `report.md` and `builds/`.

    Raises:
        RequestError: the request is wrong; nothing was written.
        RunError: the run failed; run.json records how far it got.
        TypeError: there is no such option.

    Examples:
        >>> recipe = "onnxruntime:s8u8-per_channel-minmax+reduced_range"
        >>> comparison = compare(model, (images, labels), recipes=[recipe], targets=["host"], bench_seconds=0)
        >>> [(row.id, row.status) for row in comparison.rows]
        [('onnxruntime:float32', 'ok'), ('onnxruntime:s8u8-per_channel-minmax+reduced_range', 'ok')]

        Without labels, builds are compared with the float model:

        >>> comparison = compare(model, images, recipes=[recipe], targets=["host"], bench_seconds=0)
        >>> comparison.run.task, comparison.rows[1].metric.name
        ('agreement', 'agreement')
    """
    resolved = (settings or Settings()).but(**options)
    data_set = data_source(data, data_options)
    source = source_of(bundled_model() if model is None else model, data_set, example)
    request, model_format = make_request(source, data_set.name, resolved, data_set.options.said, accept_baseline)
    folder = default_folder(request.model, request.data, request.sha256) if out is None else Path(out)
    choose = None
    if resolved.builds.preset == BEST and not resolved.builds.recipes:
        hunt = Hunt()
        request, choose = request.model_copy(update={"goal": hunt.goal}), Search(hunt).choose
    run = new_run(request, model_format, this_host(), threads_of(resolved), "compare")
    return run_comparison(run, resolved, folder, partial(data_set.load, progress=progress), overwrite, listener, choose)


compare.__signature__ = with_options(compare)  # type: ignore[attr-defined]  # for help() and notebooks


def run_comparison(
    run: Run,
    settings: Settings,
    folder: Path,
    load_data: LoadData,
    overwrite: bool,
    listener: Listener | None,
    choose: Choose | None = None,
) -> Comparison:
    """Run a comparison in workers of its own, and write its report however it ends.

    Args:
        run: the record of the run, which has not started.
        settings: its settings.
        folder: the run directory.
        load_data: loads the data set.
        overwrite: replace another request's run in the folder.
        listener: receives events; None for nobody.
        choose: chooses the recipes, see `_ComparisonRun.compare`.

    Raises:
        RequestError: the request is wrong; nothing was written.
        RunError: the run failed.
    """
    limits, host = job_limits(settings.work), this_host()
    parallel = _parallel(settings)
    directory = RunDirectory(folder.absolute(), run)
    launches = _launches(settings.targets.targets)
    pool = WorkerPool(directory.logs, run.host.threads, limits, launches, parallel)
    fresh = partial(WorkerPool, directory.logs, 1, limits)
    comparison = _ComparisonRun(directory, host, pool, parallel, listener or Silent(), fresh)
    try:
        comparison.compare(load_data, overwrite, choose)
    finally:
        if directory.run.state in ("complete", "failed", "interrupted"):
            write_report(directory.root, directory.run)
    return Comparison(folder, directory.run)


def _parallel(settings: Settings) -> int:
    """Return how many jobs run at once."""
    return settings.work.jobs or this_host().cores


def threads_of(settings: Settings) -> int:
    """Return the number of threads inside one inference, when all jobs run."""
    return max(1, this_host().cores // _parallel(settings))


def _launches(targets: Sequence[str]) -> dict[str, Launch]:
    """Return how workers are started on each target: those that bitpick knows, and those of these that are files."""
    custom = (target(word) for word in targets if word not in ("host", *TARGETS))
    return {each.name: Launch(each.prefix, each.interpreter or sys.executable) for each in (*TARGETS.values(), *custom)}


def default_folder(model: str, data: str, digest: str) -> Path:
    """Where a run goes that was given no place."""
    return Path("runs") / f"{Source(model).stem}-{dataset_name(Path(data))}-{digest[:8]}"


def data(name: Data = "cifar10", *, data_options: Options = None, progress: Progress = silent) -> Dataset:
    """Download a data set by name, or read it from a path or from arrays, into the cache.

    Raises:
        DataError: the data set does not exist or cannot be reached.
    """
    return load(name, options=data_options, progress=progress)
