"""Tell how far a long job is, from inside the function that does it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

Report = Callable[[str], None]
LISTENER: ContextVar[Report | None] = ContextVar("LISTENER", default=None)
"""Whoever runs the job sets it; None if nobody listens."""


def report(text: str) -> None:
    """Tell whoever waits for this job how far it is.

    Args:
        text: a short phrase, such as `epoch 2 of 12`.
    """
    if (listener := LISTENER.get()) is not None:
        listener(text)
