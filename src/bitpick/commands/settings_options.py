"""The options of a comparison on the command line, as `schema.settings` declares them."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any, get_origin

import typer

from bitpick.commands.signatures import with_parameters
from bitpick.schema.groups import GROUPS
from bitpick.schema.option import Group, options

Said = Any
"""What a command gets: the values of its options, by name. Typer never sees it."""


def takes(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these options, by default all of them, which it gets as one: a dict `settings`."""
    added = [each for each in _parameters() if not names or each.name in names]

    several = {name for group in GROUPS for name, default in _defaults(group).items() if default == ()}

    def given(values: dict[str, Any]) -> dict[str, Any]:
        return {name: () if value is None and name in several else value for name, value in values.items()}

    return lambda function: with_parameters(function, "settings", "data", added, given)


def _defaults(group: type[Group]) -> dict[str, Any]:
    return {each.name: each.default for each in dataclasses.fields(group)}  # type: ignore[arg-type]


def _parameters() -> list[inspect.Parameter]:
    found = []
    for group in GROUPS:
        hints = typing.get_type_hints(group)
        for each in dataclasses.fields(group):  # type: ignore[arg-type]
            option = options(group)[each.name]
            several = get_origin(hints[each.name]) is tuple
            kind = Annotated[  # type: ignore[valid-type]  # a type that is made here
                list[str] | None if several else hints[each.name], typer.Option(*option.flags, help=option.help)
            ]
            default = None if several else each.default
            found.append(
                inspect.Parameter(each.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=kind)
            )
    return found
