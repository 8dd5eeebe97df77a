"""The options that say how a data set is read, on every command that reads one."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any

import typer

from bitpick.commands.signatures import with_parameters

DataSaid = Any
"""What a command gets: the options that were said, by name. Typer never sees it."""


def _flags(
    labels: Annotated[str | None, typer.Option(help="The labels: a column, an array's name, or a file.")] = None,
    classes: Annotated[
        str | None, typer.Option(help="The classes in the order of the model's scores: a,b,c or a file.")
    ] = None,
    split: Annotated[
        float | None, typer.Option(help="The share to evaluate on, of a set without splits; the rest calibrates.")
    ] = None,
    resize: Annotated[
        str | None, typer.Option(help="Pictures: HEIGHTxWIDTH, or the shorter side before a crop.")
    ] = None,
    crop: Annotated[str | None, typer.Option(help="Pictures: the size of the middle that is kept.")] = None,
    fit: Annotated[str | None, typer.Option(help="Pictures of another shape: stretch, crop or pad.")] = None,
    scale: Annotated[str | None, typer.Option(help="Divide values by this first: 255.")] = None,
    mean: Annotated[str | None, typer.Option(help="Then take this off: a number, or one a channel, a,b,c.")] = None,
    std: Annotated[str | None, typer.Option(help="Then divide by this; given like --mean.")] = None,
    channels: Annotated[str | None, typer.Option(help="What the model takes: rgb, bgr or gray.")] = None,
    layout: Annotated[str | None, typer.Option(help="Where it takes them: channels-first or channels-last.")] = None,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave out pictures that cannot be read.")
    ] = False,
) -> None:
    """Only its signature is used."""


def reads_data(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options, which it gets as one: a dict `data_options` of those that were given."""
    hints = typing.get_type_hints(_flags, include_extras=True)
    added = [each.replace(annotation=hints[name]) for name, each in inspect.signature(_flags).parameters.items()]

    def given(values: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if value not in (None, False)}

    return with_parameters(function, "data_options", "data", added, given)
