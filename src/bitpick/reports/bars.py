"""Progress bars for downloads and decoding."""

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
    """A listener of data loading that draws progress bars; it draws nothing if the console is not a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.downloads = _Download(console) if console.is_terminal else False

    def __call__(self, steps: Sequence[str], doing: str) -> Iterator[str]:
        """Yield each step, and show how many are done."""
        yield from track(steps, doing, console=self._console, transient=True, disable=not self._console.is_terminal)

    @contextmanager
    def waiting(self, doing: str) -> Iterator[None]:
        """Show work of unknown length."""
        if not self._console.is_terminal:
            yield
            return
        with self._console.status(doing):
            yield


class _Download:
    """A progress bar with pooch's interface: pooch sets `total`, then calls `update` with each chunk's bytes."""

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
        """Number of bytes to download."""
        return self._total

    @total.setter
    def total(self, size: int) -> None:
        self._total = size
        self._bar.update(self._task, total=size)
        self._bar.start()

    def update(self, size: int) -> None:
        """Add the bytes of a chunk."""
        self._bar.advance(self._task, size)

    def reset(self) -> None:
        """Reset the bar; pooch does this at the end."""
        self._bar.reset(self._task)

    def close(self) -> None:
        """Stop the bar; the download is over."""
        self._bar.stop()
