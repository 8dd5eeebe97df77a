"""The command line."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

from bitpick.commands import caching, diagnosing, finished, making, searching  # noqa: F401 - adds their commands
from bitpick.commands.app import app, unread


def _interrupt(*_: object) -> NoReturn:
    """Interrupt the run on the first signal; ignore further ones, so that they do not disturb the shutdown."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    _open_streams()
    code: str | int | None = 0
    try:
        app()
    except SystemExit as ended:
        code = ended.code
        if type(sys.stdout).__name__ == "PacifyFlushWrapper":  # click's, if nobody reads a help text to its end
            code = unread().exit_code
    raise SystemExit(_flushed(code))


def _open_streams() -> None:
    """Make sure that there are standard streams, and that they take every character.

    Without them, the first files that are opened would have their numbers, and get what is printed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    if sys.stdout is None:
        if sys.stderr is not None:
            sys.stderr.write(
                "bitpick: standard output is closed\nexpected: a terminal, a file or a pipe\n"
                "to fix it: redirect it, e.g. to /dev/null\n"
            )
        raise SystemExit(2)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() not in ("utf-8", "utf8"):
            stream.reconfigure(errors="replace")


def _flushed(code: str | int | None) -> str | int | None:
    """Return the exit code after all that was printed is written: that of a failure if it cannot be."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python tries again, and ends with a code of its own
        if not code:
            error = unread()
            with suppress(OSError, ValueError):
                sys.stderr.write(f"bitpick: {error}\n")
            return error.exit_code
    return code
