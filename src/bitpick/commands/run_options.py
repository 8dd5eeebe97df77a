"""The options for the run directory and for accepting a poor baseline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from bitpick.commands.signatures import Command, parameters, passed_on


def _flags(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The run directory; the same request continues in its own.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace another request's run in --out.")] = False,
    accept_baseline: Annotated[
        bool, typer.Option("--accept-baseline", help="Go on with a float model that makes no sense of the data.")
    ] = False,
) -> None:
    """Declare the options; only the signature is used."""


def run_options(*names: str, after: str) -> Callable[[Command], Command]:
    """Add the named options to a command, after another one, to pass on to the api."""
    added = [option for option in parameters(_flags) if option.name in names]
    return lambda function: passed_on(function, after, added)
