"""The engines there are: bitpick's own and other distributions', through the entry points `bitpick.engines`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import metadata

from bitpick.engines.engine import Engine
from bitpick.errors import RecipeError
from bitpick.recipe import did_you_mean

GROUP = "bitpick.engines"


@functools.cache
def engines() -> Mapping[str, Engine]:
    """Every engine by its name, in the order of their names. Loads no framework."""
    found: dict[str, Engine] = {}
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda p: p.name):
        engine = point.load()()
        if engine.name != point.name or engine.name in found:
            raise RuntimeError(f"the entry point {point.name} = {point.value} names an engine {engine.name!r}")
        found[engine.name] = engine
    return found


@functools.cache
def outside_distributions() -> dict[str, str]:
    """The version of each other distribution that adds an engine, by its name."""
    points = metadata.entry_points(group=GROUP)
    return {p.dist.name: p.dist.version for p in points if p.dist is not None and p.dist.name != "bitpick"}


def engine(name: str) -> Engine:
    """The engine with this name.

    Raises:
        RecipeError: there is none.
    """
    try:
        return engines()[name]
    except KeyError:
        raise RecipeError(
            f"there is no engine {name!r}",
            expected=f"one of {', '.join(engines())}",
            mend=did_you_mean(name, engines()),
        ) from None
