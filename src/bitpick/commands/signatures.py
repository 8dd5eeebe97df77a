"""Commands whose options are declared elsewhere: typer reads a signature, so that is what they get."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any

Command = Callable[..., None]

Options = Any
"""What a command gets: the options that it passes on to the api, by name. Typer never sees it."""

_OWN = "options"  # the parameter of a command that gets them


def with_parameters(
    function: Command, after: str, added: Sequence[inspect.Parameter], given: Callable[[dict[str, Any]], dict[str, Any]]
) -> Command:
    """A command with more parameters on the command line than its function has.

    Args:
        function: the command.
        after: the parameter behind which they stand.
        added: these parameters.
        given: what the function gets, from all values by name.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def with_more(**values: Any) -> None:
        function(**given(values))

    hints = typing.get_type_hints(function, include_extras=True)
    kept = [each.replace(annotation=hints[name]) for name, each in signature.parameters.items() if name != _OWN]
    at = [each.name for each in kept].index(after) + 1
    whole = [*kept[:at], *added, *kept[at:]]
    # Both are what typer reads.
    with_more.__signature__ = signature.replace(parameters=whole)  # type: ignore[attr-defined]
    with_more.__annotations__ = {each.name: each.annotation for each in whole}
    return with_more


def passed_on(
    function: Command,
    after: str,
    added: Sequence[inspect.Parameter],
    said: Callable[[dict[str, Any]], dict[str, Any]] = dict,
) -> Command:
    """A command with more options, which it gets in a dict `options` and passes on to the api.

    Args:
        function: the command.
        after: the parameter behind which they stand.
        added: the options, as parameters.
        said: what the api gets, from a dict of their values.
    """

    def given(values: dict[str, Any]) -> dict[str, Any]:
        mine = {each.name: values.pop(each.name) for each in added}
        return values | {_OWN: values.get(_OWN, {}) | said(mine)}

    return with_parameters(function, after, added, given)


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a function of which only the signature is used."""
    hints = typing.get_type_hints(function, include_extras=True)
    return [each.replace(annotation=hints[name]) for name, each in inspect.signature(function).parameters.items()]
