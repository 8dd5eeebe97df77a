"""Add options that are declared elsewhere to commands: typer reads signatures, so this extends the signature."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any

Command = Callable[..., None]

Options = Any
"""The type of a command's `options`: what it passes on to the api, by name. Typer never sees this parameter."""

_PASSED_ON = "options"  # the name of that parameter


def with_parameters(
    function: Command,
    after: str,
    added: Sequence[inspect.Parameter],
    to_function: Callable[[dict[str, Any]], dict[str, Any]],
) -> Command:
    """Return a command with more parameters on the command line than its function has.

    Args:
        function: the command.
        after: the parameter to insert them after.
        added: the parameters to add.
        to_function: turns all values, by name, into the function's arguments.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def with_more(**values: Any) -> None:
        function(**to_function(values))

    hints = typing.get_type_hints(function, include_extras=True)
    own = [each.replace(annotation=hints[name]) for name, each in signature.parameters.items() if name != _PASSED_ON]
    place = [each.name for each in own].index(after) + 1
    parameters = [*own[:place], *added, *own[place:]]
    # Typer reads both.
    with_more.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_more.__annotations__ = {each.name: each.annotation for each in parameters}
    return with_more


def passed_on(
    function: Command,
    after: str,
    added: Sequence[inspect.Parameter],
    to_api: Callable[[dict[str, Any]], dict[str, Any]] = dict,
) -> Command:
    """Return a command with more options, which it receives in the dict `options` and passes on to the api.

    Args:
        function: the command.
        after: the parameter to insert them after.
        added: the options to add, as parameters.
        to_api: turns their values, by name, into the api's arguments.
    """

    def to_function(values: dict[str, Any]) -> dict[str, Any]:
        added_values = {each.name: values.pop(each.name) for each in added}
        return values | {_PASSED_ON: values.get(_PASSED_ON, {}) | to_api(added_values)}

    return with_parameters(function, after, added, to_function)


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a function that only declares a signature."""
    hints = typing.get_type_hints(function, include_extras=True)
    return [each.replace(annotation=hints[name]) for name, each in inspect.signature(function).parameters.items()]
