"""The options for reading a data set, shared by every command that reads one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bitpick.commands.signatures import Command, parameters, passed_on


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
    """Declare the options; only the signature is used."""


def reads_data(function: Command) -> Command:
    """Add these options to a command; the api receives those that are set as `data_options`."""

    def to_api(values: dict[str, Any]) -> dict[str, Any]:
        return {"data_options": {name: value for name, value in values.items() if value not in (None, False)}}

    return passed_on(function, "data", parameters(_flags), to_api)
