"""How far a download or a decoding is, told to whoever shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol


class Progress(Protocol):
    """A listener. `downloads` is what pooch takes as its progress bar, or False."""

    downloads: Any

    def __call__(self, steps: Sequence[str], doing: str) -> Iterator[str]:
        """Yield each step, showing how many are done."""
        ...

    def waiting(self, doing: str) -> AbstractContextManager[None]:
        """Show that something of unknown length goes on."""
        ...


class _Silent:
    downloads = False

    def __call__(self, steps: Sequence[str], doing: str) -> Iterator[str]:  # noqa: ARG002 - the listener's form
        return iter(steps)

    def waiting(self, doing: str) -> AbstractContextManager[None]:  # noqa: ARG002 - the listener's form
        return nullcontext()


silent: Progress = _Silent()
