"""An option of a comparison, and groups of related options."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bitpick.errors import RequestError

Effect = Literal["builds", "verdict", "work"]
"""What an option affects: the builds and their measurements, only the verdict on them, or only how work is done."""


@dataclass(frozen=True)
class Option:
    """An option.

    Attributes:
        help: what it does, in a sentence.
        effect: what it affects.
        holds: tells whether a value is valid.
        wrong: the message for an invalid value, with `{}` for the value.
        expected: the valid values, in words.
        flags: its flags on the command line, if they do not follow from its name.
        unit: the size of the option's unit in run.json's unit.
        rounded: whether run.json stores a whole number.
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
        """Refuse an invalid value.

        Raises:
            RequestError: the value is invalid.
        """
        if value is not None and not self.holds(value):
            shown = f"{value:g}" if isinstance(value, float) else value
            raise RequestError(self.wrong.format(shown), expected=self.expected)

    def recorded(self, value: Any) -> Any:
        """Convert a value to run.json's type and unit."""
        if isinstance(value, tuple):
            return list(value)
        if value is None or self.unit == 1:
            return value
        return round(value * self.unit) if self.rounded else value * self.unit


class Group:
    """Related options: a frozen dataclass that annotates each field with its `Option`."""

    def __post_init__(self) -> None:
        for name, option in options(type(self)).items():
            option.check(getattr(self, name))

    def recorded(self) -> dict[str, Any]:
        """Return the values in run.json's types and units, by name."""
        return {name: option.recorded(getattr(self, name)) for name, option in options(type(self)).items()}


def options(group: type[Group]) -> dict[str, Option]:
    """Return the options of a group by name."""
    hints = typing.get_type_hints(group, include_extras=True)
    return {field.name: get_args(hints[field.name])[1] for field in dataclasses.fields(group)}  # type: ignore[arg-type]


def at_least(least: float) -> Callable[[float], bool]:
    """Return a check for finite numbers that are at least `least`."""
    return lambda value: least <= value < math.inf


def above(least: float) -> Callable[[float], bool]:
    """Return a check for finite numbers above `least`."""
    return lambda value: least < value < math.inf


def one_of(values: Collection[str]) -> Callable[[str], bool]:
    """Return a check for one of these values."""
    return lambda value: value in values
