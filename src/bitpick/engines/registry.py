"""The engines there are: bitpick's own and other distributions', through the entry points `bitpick.engines`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from bitpick.engines.engine import Engine
from bitpick.errors import RecipeError
from bitpick.recipe import did_you_mean
from bitpick.version import installed_version

GROUP = "bitpick.engines"


@functools.cache
def engines() -> Mapping[str, Engine]:
    """Every engine by its name, in the order of their names. Loads no framework.

    Raises:
        RuntimeError: an entry point has another name than its engine, or two engines have one name.
    """
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
            fix=did_you_mean(name, engines()),
        ) from None


EngineRow = dict[str, Any]
"""What `engine_table` tells of one engine; plain JSON."""


def engine_table() -> list[EngineRow]:
    """What each engine can do on this machine."""
    return [
        {
            "name": each.name,
            "missing": each.missing(),
            "deprecated": each.deprecated,
            "versions": {p: v for p in each.packages if (v := installed_version(p)) is not None},
            "starts_from": [form.value for form in each.accepts],
            "recipe_files": [w for w, can in (("exclude", each.scopes), ("settings", each.configures)) if can],
            "capabilities": [
                {
                    "dtypes": list(c.dtypes),
                    "granularities": [g for g in c.granularities if g],
                    "calibrations": [m for m in c.calibrations if m],
                    "options": dict(c.options),
                }
                for c in each.capabilities
            ],
        }
        for each in engines().values()
    ]
