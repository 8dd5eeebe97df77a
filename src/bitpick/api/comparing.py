"""Compare builds; the model and the data that it does that with when none are given."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from bitpick.api.model_objects import Model, source_of
from bitpick.api.runs import Comparison, write_report
from bitpick.comparison.compare import Comparison as _Comparison
from bitpick.datasets.dataset import Dataset, named_as
from bitpick.datasets.load import Data, Options, data_source, load
from bitpick.datasets.progress import Progress, silent
from bitpick.errors import RequestError
from bitpick.executors.pool import Launch, WorkerPool
from bitpick.models.source import Source
from bitpick.pipeline.directory import RunDirectory
from bitpick.pipeline.listener import Listener, Silent
from bitpick.pipeline.request import (
    DEFAULT_ALPHA,
    DEFAULT_BENCH_SECONDS,
    DEFAULT_FLAG_DROP,
    DEFAULT_PRESET,
    job_limits,
    make_request,
    new_run,
)
from bitpick.recipe import Recipe
from bitpick.schema.judging import Judging
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
    *,
    example: Any = None,
    data_options: Options = None,
    preset: str = DEFAULT_PRESET,
    recipes: Sequence[str | Recipe] = (),
    engines: Sequence[str] = (),
    out: str | Path | None = None,
    calibration_size: int = 1000,
    seed: int = 0,
    calibration_seeds: int = 1,
    targets: Sequence[str] = (),
    target_samples: int = 1000,
    task: str | None = None,
    metric: str | None = None,
    unit: str | None = None,
    lower_is_better: bool | None = None,
    margin: str | None = None,
    alpha: float = DEFAULT_ALPHA,
    selection: str = "simultaneous",
    max_drop: float | None = None,
    max_size: float | None = None,
    max_latency_ratio: float | None = None,
    bench_seconds: float = DEFAULT_BENCH_SECONDS,
    flag_drop: float = 100 * DEFAULT_FLAG_DROP,
    min_accuracy: float | None = None,
    jobs: int | None = None,
    timeout: float | None = None,
    memory_limit: float | None = None,
    overwrite: bool = False,
    accept_baseline: bool = False,
    listener: Listener | None = None,
    progress: Progress = silent,
) -> Comparison:
    """Make and measure every build worth shipping, and name the one to ship.

    Args:
        model: the model, a `Source` where opening it needs options; None is the bundled ResNet8.
        data: `cifar10`; the path of a data set, see docs/how-to/data.md; or samples: arrays, a pair of inputs and
            labels, a dict of arrays, or an iterable.
        data_options: how it is read, see `bitpick.DataOptions`.
        example: inputs that a `torch.nn.Module` is exported with, as a tensor or an array of shape (n, …), or a tuple
            with one for each input; by default the first samples of the data set.
        preset: which recipes: `reference`, `basic`, `standard` or `full`.
        recipes: recipe ids, or YAML files that hold a recipe; they replace the preset's.
        engines: engines to narrow the preset to.
        out: the run directory; by default `runs/<model>-<data>-<digest of the request>`, which the same request
            continues.
        calibration_size: number of calibration samples.
        seed: of their draw.
        calibration_seeds: with 2 or more, the builds that matter (those recommended for any use, and those of
            `recipes`) are made from so many calibration draws, with this seed and those after it, and the run says
            what their recipes lose, whichever samples they are given.
        targets: CPUs to measure for beside this one: `x86-avx2`, or a YAML file that describes one. By default the
            builds that would be recommended are checked on `x86-avx2`, where its emulator is; `host` leaves that out.
        target_samples: how many evaluation samples a target gets.
        task: `classification`, `multilabel`, `regression`, `reconstruction`, `anomaly`; without labels `agreement`,
            `deviation` or `reconstruction`. By default the one that the model and the data set make.
        metric: what builds are judged by: a metric of the task, such as `rmse`, or `module:function`, which takes
            outputs and targets of the whole evaluation set and returns a number.
        unit: of the metric's values, e.g. `°C`.
        lower_is_better: whether the metric of `module:function` is an error.
        margin: the largest drop that does no harm, said before the run: a share of what the float32 build gets, as
            `1%`, or percentage points, as `0.5`, or of a metric with a unit of its own so much of that. By default
            `1%`, and `5%` of an error. Only builds that are shown to lose less are recommended.
        alpha: how often, at most, any of them may wrongly be said to; one-sided, over all of them at once.
        selection: how choosing and judging on the same samples is kept from flattering the choice: `simultaneous`
            tests all builds at once; `cross-fit` chooses on each half of the evaluation set and judges on the other.
        max_drop: builds that lose more than this are not recommended, in percentage points, or in percent of what the
            float32 build gets where the metric is no percentage.
        max_size: builds that are larger than this are not recommended, in kilobytes of 1,000 bytes.
        max_latency_ratio: builds that take more than this share of the time of ONNX Runtime's float32 are not
            recommended.
        bench_seconds: how long speed may be measured, about; 0 is not at all.
        flag_drop: rows that lose more than this are flagged, likewise.
        min_accuracy: rows with less accuracy than this are flagged, a fraction from 0 to 1.
        jobs: how many jobs at once, each with its share of the cores; None is one a core.
        timeout: seconds after which a single job, such as one build, is ended and its row fails.
        memory_limit: gigabytes of memory past which a job is ended and its row fails.
        overwrite: replace another request's run in `out`.
        accept_baseline: go on with a float model that makes no sense of the data.
        listener: is told how it goes.
        progress: is told how far a download is.

    Returns:
        The finished run; its directory holds `run.json`, `report.html`, `report.md` and `builds/`.

    Raises:
        RequestError: the request is wrong; nothing was written.
        RunError: the run failed, and run.json says how far it came.

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
    if not 0 <= flag_drop <= 100:
        raise RequestError(
            f"the flagged drop {flag_drop:g} is out of range", expected="percentage points from 0 to 100"
        )
    if min_accuracy is not None and not 0 <= min_accuracy <= 1:
        raise RequestError(f"the minimum accuracy {min_accuracy:g} is out of range", expected="a fraction from 0 to 1")
    for name, limit in (("drop", max_drop), ("size", max_size)):
        if limit is not None and not (math.isfinite(limit) and (limit > 0 or name == "drop")):
            raise RequestError(f"the largest {name} {limit:g} is out of range", expected="a number above 0")
    if jobs is not None and jobs < 1:
        raise RequestError(f"the number of jobs {jobs} is out of range", expected="at least 1")
    read = data_source(data, data_options)
    request, model_format = make_request(
        source_of(bundled_model() if model is None else model, read, example),
        read.name,
        data_options=read.options.said,
        accept_baseline=accept_baseline,
        preset=preset,
        recipes=recipes,
        engine_names=engines,
        calibration_size=calibration_size,
        seed=seed,
        calibration_seeds=calibration_seeds,
        targets=targets,
        target_samples=target_samples,
        judging=Judging(task=task, metric=metric, unit=unit, lower_is_better=lower_is_better),
        margin=margin,
        alpha=alpha,
        selection=selection,
        max_drop=None if max_drop is None else max_drop / 100,
        max_size=None if max_size is None else round(1000 * max_size),
        max_latency_ratio=max_latency_ratio,
        bench_seconds=bench_seconds,
        flag_drop=flag_drop / 100,
        min_accuracy=min_accuracy,
    )
    limits = job_limits(timeout, memory_limit)
    host = this_host()
    parallel = max(1, jobs or host.cores)
    threads = max(1, host.cores // parallel)
    folder = default_folder(request.model, request.data, request.sha256) if out is None else Path(out)
    directory = RunDirectory(folder.absolute(), new_run(request, model_format, host, threads, "compare"))
    known = [*TARGETS.values(), *(target(word) for word in targets if word not in ("host", *TARGETS))]
    launches = {each.name: Launch(each.prefix, each.interpreter or sys.executable) for each in known}
    pool = WorkerPool(directory.logs, threads, limits, launches, parallel)
    fresh = partial(WorkerPool, directory.logs, 1, limits)
    comparison = _Comparison(directory, host, pool, parallel, listener or Silent(), fresh)
    try:
        comparison.compare(partial(read.load, progress=progress), overwrite)
    finally:
        if directory.run.state in ("complete", "failed", "interrupted"):
            write_report(directory.root, directory.run)
    return Comparison(folder, directory.run)


def default_folder(model: str, data: str, digest: str) -> Path:
    """Where a run goes that was given no place."""
    return Path("runs") / f"{Source(model).stem}-{named_as(Path(data))}-{digest[:8]}"


def data(name: Data = "cifar10", *, data_options: Options = None, progress: Progress = silent) -> Dataset:
    """Fetch a data set by name, or read it, into the cache.

    Raises:
        DataError: no such data set, or no way to it.
    """
    return load(name, options=data_options, progress=progress)
