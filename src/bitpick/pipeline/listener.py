"""Listeners, which receive the progress of a comparison."""

from __future__ import annotations

from typing import Protocol

from bitpick.pipeline.job import Job
from bitpick.schema.run import Row


class Listener(Protocol):
    """Receives the progress of a comparison, in the thread that runs it, but for `progressed`."""

    def phase(self, text: str) -> None:
        """A phase begins."""

    def started(self, job: Job) -> None:
        """A job begins."""

    def progressed(self, job: Job, text: str) -> None:
        """A job that takes long tells how far it is; called in a thread of its own."""

    def ended(self, job: Job) -> None:
        """A job ended, well or not."""

    def row(self, row: Row) -> None:
        """A row is new, or has changed."""

    def note(self, text: str) -> None:
        """Something was assumed about the model or the data, or looks wrong with it."""


class Silent:
    """A listener that shows nothing."""

    def phase(self, text: str) -> None:
        """See `Listener`."""

    def started(self, job: Job) -> None:
        """See `Listener`."""

    def progressed(self, job: Job, text: str) -> None:
        """See `Listener`."""

    def ended(self, job: Job) -> None:
        """See `Listener`."""

    def row(self, row: Row) -> None:
        """See `Listener`."""

    def note(self, text: str) -> None:
        """See `Listener`."""
