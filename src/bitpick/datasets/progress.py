"""Report the progress of downloads and decoding to a listener."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol


class Progress(Protocol):
    """A progress listener. `downloads` is the progress bar for pooch, or False."""

    downloads: Any

    def __call__(self, steps: Sequence[str], doing: str) -> Iterator[str]:
        """Yield each step, showing how many are done."""
        ...

    def waiting(self, doing: str) -> AbstractContextManager[None]:
        """Show that a task of unknown length is running."""
        ...


class _Silent:
    downloads = False

    def __call__(self, steps: Sequence[str], doing: str) -> Iterator[str]:  # noqa: ARG002 - required by the protocol
        return iter(steps)

    def waiting(self, doing: str) -> AbstractContextManager[None]:  # noqa: ARG002 - required by the protocol
        return nullcontext()


silent: Progress = _Silent()
