"""One option of a comparison, and groups of options that belong together."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bitpick.errors import RequestError

Effect = Literal["builds", "verdict", "work"]
"""What an option changes: the builds and what is measured of them, or only what follows from that, or neither."""


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        help: what it does, in a sentence.
        effect: what it changes.
        holds: whether a value is one that it can have.
        wrong: the message where it is not, with `{}` for the value.
        expected: what it can have instead.
        flags: how the command line calls it, where that is not its name.
        unit: how much of run.json's unit one of its own is.
        rounded: whether run.json has a whole number of them.
    """

    help: str
    effect: Effect = "builds"
    holds: Callable[[Any], bool] = lambda _: True
    wrong: str = ""
    expected: str = ""
    flags: tuple[str, ...] = ()
    unit: float = 1
    rounded: bool = False

    def check(self, value: Any) -> None:
        """Refuse a value that it cannot have.

        Raises:
            RequestError: it is one.
        """
        if value is not None and not self.holds(value):
            shown = f"{value:g}" if isinstance(value, float) else value
            raise RequestError(self.wrong.format(shown), expected=self.expected)

    def recorded(self, value: Any) -> Any:
        """A value as run.json has it."""
        if isinstance(value, tuple):
            return list(value)
        if value is None or self.unit == 1:
            return value
        return round(value * self.unit) if self.rounded else value * self.unit


class Group:
    """Options that belong together: a frozen dataclass, each field of which is annotated with its `Option`."""

    def __post_init__(self) -> None:
        for name, option in options(type(self)).items():
            option.check(getattr(self, name))

    def recorded(self) -> dict[str, Any]:
        """The values as run.json has them."""
        return {name: option.recorded(getattr(self, name)) for name, option in options(type(self)).items()}


def options(group: type[Group]) -> dict[str, Option]:
    """The options of a group, by their names."""
    hints = typing.get_type_hints(group, include_extras=True)
    return {each.name: get_args(hints[each.name])[1] for each in dataclasses.fields(group)}  # type: ignore[arg-type]


def at_least(least: float) -> Callable[[float], bool]:
    """A check for finite numbers that are not smaller."""
    return lambda value: least <= value < math.inf
