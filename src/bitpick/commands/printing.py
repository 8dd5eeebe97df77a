"""How commands print: consoles, JSON, a whole run. Loads rich only when it is used."""

from __future__ import annotations

import sys
from typing import Any

import typer


def stdout() -> Any:
    """The console of standard output."""
    from rich.console import Console

    # A pipe or a file has no width of its own: ids must not be folded there.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def stderr() -> Any:
    """The console of standard error."""
    from rich.console import Console

    return Console(stderr=True)


def progress() -> Any:
    """Progress bars of downloads, on standard error."""
    from bitpick.reports.bars import Bars

    return Bars(stderr())


def print_json(document: Any) -> None:
    """Print one JSON document."""
    import json

    typer.echo(json.dumps(document, indent=1))


def show(done: Any, as_json: bool) -> None:
    """Print a run, as JSON or for people."""
    from bitpick.reports import diagnosis, terminal

    if as_json:
        typer.echo(done.run.model_dump_json(indent=1, exclude_none=True))
    else:
        summary = diagnosis.summary if done.run.command == "diagnose" else terminal.summary
        stdout().print(summary(done.run, str(done.folder)))
