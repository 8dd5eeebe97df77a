"""Progress of downloads and decoding, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
    track,
)


class Bars:
    """A listener of data loading that draws progress bars, and nothing where the console is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.downloads = _Download(console) if console.is_terminal else False

    def __call__(self, steps: Sequence[str], doing: str) -> Iterator[str]:
        """Yield each step, showing how many are done."""
        yield from track(steps, doing, console=self._console, transient=True, disable=not self._console.is_terminal)

    @contextmanager
    def waiting(self, doing: str) -> Iterator[None]:
        """Show that something of unknown length goes on."""
        if not self._console.is_terminal:
            yield
            return
        with self._console.status(doing):
            yield


class _Download:
    """A progress bar in the form that pooch drives: it sets `total`, then calls `update` with each chunk's bytes."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("downloading"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task("", total=None)
        self._total = 0

    @property
    def total(self) -> int:
        """Number of bytes to come."""
        return self._total

    @total.setter
    def total(self, size: int) -> None:
        self._total = size
        self._bar.update(self._task, total=size)
        self._bar.start()

    def update(self, size: int) -> None:
        """A chunk has come."""
        self._bar.advance(self._task, size)

    def reset(self) -> None:
        """Pooch resets the bar at the end."""
        self._bar.reset(self._task)

    def close(self) -> None:
        """The download is over."""
        self._bar.stop()
