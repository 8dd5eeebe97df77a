"""All options of a comparison, as one value."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from bitpick.errors import RequestError, did_you_mean
from bitpick.schema.groups import GROUPS, Builds, Calibration, Claims, Flags, Limits, Metric, Targets, Timing, Work
from bitpick.schema.option import Effect, Group, options


@dataclass(frozen=True)
class Settings:
    """All options of a comparison, in groups.

    Raises:
        RequestError: a value is invalid.
    """

    builds: Builds = field(default_factory=Builds)
    calibration: Calibration = field(default_factory=Calibration)
    targets: Targets = field(default_factory=Targets)
    metric: Metric = field(default_factory=Metric)
    claims: Claims = field(default_factory=Claims)
    limits: Limits = field(default_factory=Limits)
    flags: Flags = field(default_factory=Flags)
    timing: Timing = field(default_factory=Timing)
    work: Work = field(default_factory=Work)

    def __post_init__(self) -> None:
        if self.limits.max_latency_ratio is not None and not self.timing.bench_seconds:
            raise RequestError("a limit on latency ratios needs measured times", expected="no --no-bench beside it")

    def __iter__(self) -> Iterator[Group]:
        """Iterate over the groups."""
        return (getattr(self, each.name) for each in dataclasses.fields(self))

    def but(self, **flat: Any) -> Self:
        """Return these settings with some options changed.

        Args:
            flat: the new values by option name; sequences become tuples.

        Raises:
            TypeError: there is no such option.
            RequestError: a value is invalid.
        """
        remaining = {name: tuple(value) if isinstance(value, (list, tuple)) else value for name, value in flat.items()}
        changed: dict[str, Any] = {}
        for each in dataclasses.fields(self):
            group = getattr(self, each.name)
            new_values = {name: remaining.pop(name) for name in options(type(group)) if name in remaining}
            if new_values:
                changed[each.name] = dataclasses.replace(group, **new_values)
        if remaining:
            name, known = next(iter(remaining)), [name for group in GROUPS for name in options(group)]
            raise TypeError(f"there is no option {name!r}: {did_you_mean(name, known)}")
        return dataclasses.replace(self, **changed)

    def recorded(self, *effects: Effect) -> Mapping[str, Any]:
        """Return the values of the options with one of these effects, in run.json's types and units."""
        return {
            name: option.recorded(getattr(group, name))
            for group in self
            for name, option in options(type(group)).items()
            if option.effect in effects
        }


def only_options(names: Collection[str], options: Mapping[str, Any]) -> Settings:
    """Return the settings of a function that accepts only some of the options.

    Args:
        names: of the options that it accepts.
        options: the values passed to it, by name.

    Raises:
        TypeError: it does not accept one of them.
        RequestError: a value is invalid.
    """
    for name in options:
        if name not in names:
            raise TypeError(f"there is no option {name!r}: {did_you_mean(name, names)}")
    return Settings().but(**options)


def with_options(
    function: Callable[..., Any], names: Collection[str] = (), groups: Iterable[type[Group]] = GROUPS
) -> inspect.Signature:
    """Return the signature of a function with the options in place of its last parameter, `**options`.

    Args:
        function: the function.
        names: of the options; all of them if none is named.
        groups: the groups that declare them.
    """
    own = inspect.signature(function)
    parameters = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=_plain(field.type)
        )
        for group in groups
        for field in dataclasses.fields(group)  # type: ignore[arg-type]
        if not names or field.name in names
    ]
    return own.replace(parameters=[*list(own.parameters.values())[:-1], *parameters])


def _plain(annotation: Any) -> str:
    """Return the source of an annotation's type, without `Annotated`."""
    match ast.parse(annotation, mode="eval").body:
        case ast.Subscript(value=ast.Name("Annotated"), slice=ast.Tuple(elts=[kind, *_])):
            return ast.unparse(kind)
    return str(annotation)
