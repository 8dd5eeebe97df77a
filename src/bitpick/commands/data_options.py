"""The options that say how a data set is read, on every command that reads one."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any

import typer

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
    """Give a command these options, which it gets as one: a dict `data_options` of those that were said."""
    own, flags = inspect.signature(function), inspect.signature(_flags)

    @functools.wraps(function)
    def with_options(**given: Any) -> None:
        said = {name: value for name in flags.parameters if (value := given.pop(name)) not in (None, False)}
        function(**given, data_options=said)

    hints = typing.get_type_hints(function, include_extras=True) | typing.get_type_hints(_flags, include_extras=True)
    kept = [each for name, each in own.parameters.items() if name != "data_options"]
    at = [each.name for each in kept].index("data") + 1
    whole = [each.replace(annotation=hints[each.name]) for each in (*kept[:at], *flags.parameters.values(), *kept[at:])]
    # Both are what typer reads.
    with_options.__signature__ = own.replace(parameters=whole)  # type: ignore[attr-defined]
    with_options.__annotations__ = {each.name: each.annotation for each in whole}
    return with_options
