"""Search for the build to ship."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

from bitpick.api.comparing import bundled_model, default_folder, run_comparison, threads_of
from bitpick.api.model_objects import Model, source_of
from bitpick.api.runs import Comparison
from bitpick.datasets.load import Data, Options, data_source
from bitpick.datasets.progress import Progress, silent
from bitpick.pipeline.listener import Listener
from bitpick.pipeline.request import make_request, new_run
from bitpick.schema import option
from bitpick.schema.groups import GROUPS
from bitpick.schema.other_groups import Hunt
from bitpick.schema.settings import Settings, only_options, with_options
from bitpick.searching.search import Search
from bitpick.targets.host import this_host

OPTIONS = (
    "engines", "targets", "target_samples", "use", "margin", "alpha", "max_drop", "max_size", "max_latency_ratio",
    "bench_seconds", "calibration_size", "seed", "jobs", "timeout", "memory_limit",
)  # fmt: skip


def search(
    model: Model | None = None,
    data: Data = "cifar10",
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
    """Search over recipes and passes for the build to ship, and judge what was found on samples kept apart.

    Args:
        model: the model; a `Source` if opening it needs options; None for the bundled ResNet8.
        data: the data set, see `compare`.
        example: see `compare`.
        data_options: how to read the data set, see `bitpick.DataOptions`.
        out: the run directory; by default `runs/search-<model>-<data>-<digest of the request>`.
        overwrite: replace another request's run in `out`.
        accept_baseline: continue even if the float model makes no sense of the data.
        listener: receives events as the work goes on.
        progress: receives the progress of downloads.
        options: single options by name, see the table below.

    Returns:
        The finished run, with `run.search`. Its rows are judged on the half of the evaluation set that the search did
        not look at.

    Raises:
        RequestError: the request is wrong; nothing was written.
        RunError: the run failed, or the search found nothing within the limits.
        TypeError: there is no such option.
    """
    hunt = Hunt(**{name: options.pop(name) for name in option.options(Hunt) if name in options})
    settings: Settings = only_options(OPTIONS, options)
    data_set = data_source(data, data_options)
    source = source_of(bundled_model() if model is None else model, data_set, example)
    request, model_format = make_request(source, data_set.name, settings, data_set.options.said, accept_baseline)
    digest = hashlib.sha256(f"search {hunt.goal} {request.sha256}".encode()).hexdigest()
    request = request.model_copy(update={"sha256": digest, "goal": hunt.goal})
    plain = default_folder(request.model, request.data, request.sha256)
    folder = plain.with_name(f"search-{plain.name}") if out is None else Path(out)
    run = new_run(request, model_format, this_host(), threads_of(settings), "search")
    choose = Search(hunt).choose
    return run_comparison(run, settings, folder, partial(data_set.load, progress=progress), overwrite, listener, choose)


search.__signature__ = with_options(  # type: ignore[attr-defined]  # for help() and notebooks
    search, (*option.options(Hunt), *OPTIONS), (Hunt, *GROUPS)
)
