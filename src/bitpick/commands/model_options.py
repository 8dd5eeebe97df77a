"""The options for opening a model, shared by every command that opens one."""

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
    """Declare the options; only the signature is used."""


def opens_model(after: str) -> Callable[[Command], Command]:
    """Add these options to a command, after another one; it receives its `model` as a `Source`, or None."""
    added = parameters(_flags)

    def to_source(values: dict[str, Any]) -> dict[str, Any]:
        from bitpick.models.source import Source

        trusted, builder, weights = (values.pop(option.name) for option in added)
        model = values["model"]
        return values | {"model": None if model is None else Source(str(model), trusted, builder, weights)}

    return lambda function: with_parameters(function, after, added, to_source)


def opens_builds(after: str) -> Callable[[Command], Command]:
    """Add `--trust-model` to a command, after another option; it receives each of its `builds` as a `Source`."""
    added = parameters(_flags)[:1]

    def to_sources(values: dict[str, Any]) -> dict[str, Any]:
        from bitpick.models.source import Source

        trusted = values.pop("trust_model")
        return values | {"builds": [Source(str(build), trusted) for build in values["builds"]]}

    return lambda function: with_parameters(function, after, added, to_sources)
