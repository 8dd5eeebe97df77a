"""The command line."""

from __future__ import annotations

import signal
from typing import NoReturn

from bitpick.commands import caching, diagnosing, finished, making  # noqa: F401 - importing them adds their commands
from bitpick.commands.app import app


def _interrupt(*_: object) -> NoReturn:
    """The first signal ends the run in order, which takes a moment; a second one does not disturb that."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> None:
    """The entry point."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _interrupt)
    app()
