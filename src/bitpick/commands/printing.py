"""Print for commands: consoles, JSON, a whole run. rich is loaded on first use."""

from __future__ import annotations

import sys
from typing import Any

import typer


def stdout() -> Any:
    """Return a console on standard output."""
    from bitpick.reports.consoles import SafeConsole

    # A pipe or a file has no width, and ids must not be folded there.
    return SafeConsole(highlight=False, markup=False, width=None if sys.stdout.isatty() else 160)


def stderr() -> Any:
    """Return a console on standard error."""
    from bitpick.reports.consoles import SafeConsole

    return SafeConsole(stderr=True, markup=False)


def echo(text: str, err: bool = False) -> None:
    """Print text in which names may hold control characters, which are shown and not obeyed.

    Args:
        text: one line or several.
        err: whether to print on standard error.
    """
    from bitpick.library_errors import visible

    typer.echo(visible(text), err=err)


def progress() -> Any:
    """Return progress bars for downloads, on standard error."""
    from bitpick.reports.bars import Bars

    return Bars(stderr())


def print_json(document: Any) -> None:
    """Print one JSON document."""
    import json

    typer.echo(json.dumps(document, indent=1))


def show(comparison: Any, as_json: bool) -> None:
    """Print a run, as JSON or as text."""
    from bitpick.reports import diagnosis, terminal

    if as_json:
        print_json(comparison.run.model_dump(mode="json", exclude_none=True))
    else:
        summary = diagnosis.summary if comparison.run.command == "diagnose" else terminal.summary
        stdout().print(summary(comparison.run, str(comparison.folder)))
