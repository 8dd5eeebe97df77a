"""Command-line options from groups of options: those of a comparison, a diagnosis and the gate."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_origin

import typer

from bitpick.commands.signatures import Command, passed_on
from bitpick.schema.groups import GROUPS
from bitpick.schema.option import Group, options


def takes(*names: str, groups: Sequence[type[Group]] = GROUPS, after: str = "data") -> Callable[[Command], Command]:
    """Add options of groups to a command, by default all of a comparison, to pass on to the api.

    Args:
        names: of the options; all of them if none is named.
        groups: the groups that declare them.
        after: the parameter to insert them after.
    """
    added = [parameter for parameter in _parameters(groups) if not names or parameter.name in names]
    repeatable = {name for group in groups for name, default in _defaults(group).items() if default == ()}

    def to_api(values: dict[str, Any]) -> dict[str, Any]:
        return {name: () if value is None and name in repeatable else value for name, value in values.items()}

    return lambda function: passed_on(function, after, added, to_api)


def _defaults(group: type[Group]) -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(group)}  # type: ignore[arg-type]


def _parameters(groups: Sequence[type[Group]]) -> list[inspect.Parameter]:
    parameters = []
    for group in groups:
        hints = typing.get_type_hints(group)
        for field in dataclasses.fields(group):  # type: ignore[arg-type]
            option = options(group)[field.name]
            repeatable = get_origin(hints[field.name]) is tuple
            kind = Annotated[  # type: ignore[valid-type]  # a type built at run time
                list[str] | None if repeatable else hints[field.name], typer.Option(*option.flags, help=option.help)
            ]
            default = None if repeatable else field.default
            parameters.append(
                inspect.Parameter(field.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=kind)
            )
    return parameters
