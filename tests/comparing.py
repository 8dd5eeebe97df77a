"""Comparisons that run in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bitpick.comparison.compare import Choose, Comparison
from bitpick.datasets.dataset import Dataset
from bitpick.executors.executor import Executor
from bitpick.executors.inline import InlineExecutor
from bitpick.models.source import Source
from bitpick.pipeline import directory as directories
from bitpick.pipeline.directory import RunDirectory
from bitpick.pipeline.fit import LoadData
from bitpick.pipeline.listener import Silent
from bitpick.pipeline.request import make_request, new_run
from bitpick.schema.run import Run
from bitpick.targets.host import Host, this_host
from tests.recording import RecordingExecutor


def new_directory(folder: Path, model: Path | Source, **options: Any) -> RunDirectory:
    """The directory of a run that has not begun; `options` are those of `make_request`."""
    request, form = make_request(model, "tiny", **options)
    return RunDirectory(folder, new_run(request, form, this_host(), 1, "compare"))


class Comparer:
    """Compares builds of a model: by default quickly, by the fake engine, on this host alone, and untimed.

    Args:
        model: the model.
        data: the data set.
        folder: the run directories are in it.

    Attributes:
        data: the data set.
        options: the options of each comparison that names no others, as `make_request` takes them.
        new_executor: makes the executor of each comparison that names no other.
        directory: the directory of the last run.
        executor: the executor of the last run.
    """

    directory: RunDirectory
    executor: Executor

    def __init__(self, model: Path, data: Dataset, folder: Path) -> None:
        self.data = data
        self.options: dict[str, Any] = {
            "engines": ("fake",), "calibration_size": 100, "targets": ("host",), "margin": "10", "bench_seconds": 0,
        }  # fmt: skip
        self.new_executor: Callable[[], Executor] = RecordingExecutor
        self._model = model
        self._folder = folder

    def __call__(
        self,
        *recipes: str,
        model: Path | None = None,
        load: LoadData | None = None,
        out: str = "run",
        overwrite: bool = False,
        executor: Executor | None = None,
        fresh: Callable[[], Executor] | None = InlineExecutor,
        host: Host | None = None,
        choose: Choose | None = None,
        **options: Any,
    ) -> Run:
        """Compare recipes, or those of the preset, and read what is in run.json.

        Args:
            recipes: their ids.
            model: another model.
            load: loads another data set.
            out: the name of the run directory.
            overwrite: whether to replace another request's run.
            executor: runs the jobs.
            fresh: makes the executors that time builds.
            host: another host.
            choose: chooses the recipes, as a search does.
            options: options of this comparison.
        """
        asked = self.options | ({"recipes": recipes} if recipes else {}) | options
        self.directory = new_directory(self._folder / out, model or self._model, **asked)
        self.executor = executor or self.new_executor()
        comparison = Comparison(self.directory, host or this_host(), self.executor, 1, Silent(), fresh)
        comparison.compare(load or (lambda _: self.data), overwrite, choose)
        return directories.read(self.directory.root)
