"""Executors of tests: workers that outlive a run, because a framework takes long to start, and one without workers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bitpick.errors import BitpickError, raised_by_library
from bitpick.executors.inline import InlineExecutor
from bitpick.executors.pool import Launch, Limits, WorkerPool

HERE = Path(__file__).parent
STEPS = [HERE / "conformance", HERE / "conversion", HERE / "engines" / "graphs"]
"""The folders whose modules have functions for workers."""


class SharedWorkers(WorkerPool):
    """Workers of every environment, which find the modules of steps, and stay when a run closes them."""

    def __init__(self, logs: Path) -> None:
        path = os.pathsep.join([*map(str, STEPS), *filter(None, [os.environ.get("PYTHONPATH")])])
        super().__init__(logs, 1, Limits(seconds=600), {"": Launch(("env", f"PYTHONPATH={path}"))})

    def close(self) -> None:
        """Nothing: see `end`."""

    def end(self) -> None:
        """End the workers."""
        super().close()


class TranslatingExecutor(InlineExecutor):
    """Runs jobs in this process, and translates what libraries raise, as a worker does."""

    def run(self, environment: str, function: str, payload: Any, *progress: Any) -> Any:
        try:
            return super().run(environment, function, payload, *progress)
        except BitpickError:
            raise
        except Exception as error:
            raise raised_by_library(error) from error


@contextmanager
def use_executor(executor: Any, cache: Path) -> Iterator[None]:
    """Let every run have this executor, and a cache of data sets that is not the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bitpick.api.comparing.WorkerPool", lambda *_, **__: executor)
        patch.setenv("BITPICK_CACHE", str(cache))
        yield
