"""The command line."""

from __future__ import annotations

import signal
from typing import NoReturn

from bitpick.commands import caching, diagnosing, finished, making, searching  # noqa: F401 - adds their commands
from bitpick.commands.app import app


def _interrupt(*_: object) -> NoReturn:
    """Interrupt the run on the first signal; ignore further ones, so that they do not disturb the shutdown."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    app()
