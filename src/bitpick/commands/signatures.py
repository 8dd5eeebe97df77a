"""Commands whose options are declared elsewhere: typer reads a signature, so that is what they get."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any


def with_parameters(
    function: Callable[..., None], own: str, after: str, added: Sequence[inspect.Parameter], given: Callable[[Any], Any]
) -> Callable[..., None]:
    """A command with more options, which it gets as one.

    Args:
        function: the command.
        own: its parameter that gets them, which typer never sees.
        after: the parameter behind which they stand.
        added: the options, as parameters.
        given: what the command gets, from a dict of their values.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def with_options(**values: Any) -> None:
        mine = {each.name: values.pop(each.name) for each in added}
        function(**values, **{own: given(mine)})

    hints = typing.get_type_hints(function, include_extras=True)
    kept = [each.replace(annotation=hints[name]) for name, each in signature.parameters.items() if name != own]
    at = [each.name for each in kept].index(after) + 1
    whole = [*kept[:at], *added, *kept[at:]]
    # Both are what typer reads.
    with_options.__signature__ = signature.replace(parameters=whole)  # type: ignore[attr-defined]
    with_options.__annotations__ = {each.name: each.annotation for each in whole}
    return with_options
