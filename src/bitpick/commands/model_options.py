"""The options that say how a model is opened, on every command that opens one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from bitpick.commands.signatures import Command, parameters, with_parameters

_TrustModel = Annotated[bool, typer.Option("--trust-model", help="Open the model though it can run code.")]


def _flags(
    trust_model: _TrustModel = False,
    keras_builder: Annotated[
        str | None, typer.Option(help="module:function that builds the Keras model of a file of weights alone.")
    ] = None,
    state_dict: Annotated[
        Path | None, typer.Option(help="The weights of the module that MODEL, a function, returns.")
    ] = None,
) -> None:
    """Only its signature is used."""


def opens_model(after: str) -> Callable[[Command], Command]:
    """Give a command these options behind another one; it gets its `model` as a `Source`, or None without one."""
    added = parameters(_flags)

    def given(values: dict[str, Any]) -> dict[str, Any]:
        from bitpick.models.source import Source

        trusted, builder, weights = (values.pop(each.name) for each in added)
        model = values["model"]
        return values | {"model": None if model is None else Source(str(model), trusted, builder, weights)}

    return lambda function: with_parameters(function, after, added, given)


def opens_builds(after: str) -> Callable[[Command], Command]:
    """Give a command `--trust-model` behind another option; it gets each of its `builds` as a `Source`."""
    added = parameters(_flags)[:1]

    def given(values: dict[str, Any]) -> dict[str, Any]:
        from bitpick.models.source import Source

        trusted = values.pop("trust_model")
        return values | {"builds": [Source(str(each), trusted) for each in values["builds"]]}

    return lambda function: with_parameters(function, after, added, given)
