"""Print for commands: consoles, JSON, a whole run. rich is loaded on first use."""

from __future__ import annotations

import sys
from typing import Any

import typer


def stdout() -> Any:
    """Return a console on standard output."""
    from rich.console import Console

    # A pipe or a file has no width, and ids must not be folded there.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def stderr() -> Any:
    """Return a console on standard error."""
    from rich.console import Console

    return Console(stderr=True)


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
