"""An executor and a listener that record what a run does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bitpick.executors.executor import Outcome
from bitpick.executors.inline import InlineExecutor
from bitpick.pipeline.job import Job
from bitpick.pipeline.listener import Silent
from bitpick.schema.run import Row


class RecordingExecutor(InlineExecutor):
    """Records the jobs that ran.

    Args:
        stop_at: interrupts the run at the first job whose record begins with this.
        after: the beginning of a record, and a function to call when that job is done.
    """

    def __init__(self, stop_at: str = "", after: tuple[str, Callable[[], None]] | None = None) -> None:
        self.ran: list[str] = []
        self.closed = False
        self._stop_at = stop_at
        self._after = after

    def run(self, environment: str, function: str, payload: Any, *progress: Any) -> Outcome:
        name = function.rpartition(":")[2]
        recipe = payload.get("recipe")
        self.ran.append(f"{name} {recipe.id}" if recipe else name)
        if self._stop_at and self.ran[-1].startswith(self._stop_at):
            raise KeyboardInterrupt
        outcome = super().run(environment, function, payload, *progress)
        if self._after and self.ran[-1].startswith(self._after[0]):
            self._after[1]()
        return outcome

    def close(self) -> None:
        self.closed = True


class RecordingListener(Silent):
    """Records phases, notes, the jobs that ended, and rows."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.notes: list[str] = []
        self.jobs: list[str] = []
        self.rows: list[Row] = []

    def phase(self, text: str) -> None:
        self.phases.append(text)

    def ended(self, job: Job) -> None:
        self.jobs.append(job.id)

    def row(self, row: Row) -> None:
        self.rows.append(row)

    def note(self, text: str) -> None:
        self.notes.append(text)
