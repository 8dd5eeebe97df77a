"""The options on the command line that groups of options declare: those of a comparison, a diagnosis, the gate."""

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
    """Give a command options of groups, by default all of a comparison, to pass on to the api.

    Args:
        names: of the options; none is all of them.
        groups: the groups that have them.
        after: the parameter behind which they stand.
    """
    added = [each for each in _parameters(groups) if not names or each.name in names]
    several = {name for group in groups for name, default in _defaults(group).items() if default == ()}

    def said(values: dict[str, Any]) -> dict[str, Any]:
        return {name: () if value is None and name in several else value for name, value in values.items()}

    return lambda function: passed_on(function, after, added, said)


def _defaults(group: type[Group]) -> dict[str, Any]:
    return {each.name: each.default for each in dataclasses.fields(group)}  # type: ignore[arg-type]


def _parameters(groups: Sequence[type[Group]]) -> list[inspect.Parameter]:
    found = []
    for group in groups:
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
