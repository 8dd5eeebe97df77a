"""The registry of engines: bitpick's own and those of other distributions, from the entry points `bitpick.engines`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from bitpick.engines.broken import BrokenEngine
from bitpick.engines.engine import Engine
from bitpick.errors import RecipeError, did_you_mean
from bitpick.library_errors import typed_line
from bitpick.passes.registry import passes, passes_of
from bitpick.recipe import Recipe
from bitpick.version import installed_version

GROUP = "bitpick.engines"


@functools.cache
def engines() -> Mapping[str, Engine]:
    """Return every engine by name, in alphabetical order, without loading a framework.

    One that does not load, or has another's name, is there as a `BrokenEngine`.
    """
    by_name: dict[str, Engine] = {}
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name):
        twice = point.name in by_name
        by_name[point.name] = _broken(point, "two distributions have an engine of that name") if twice else _load(point)
    return by_name


def _load(point: metadata.EntryPoint) -> Engine:
    """Return the engine of an entry point."""
    try:
        engine: Engine = point.load()()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the code of others raises
        return _broken(point, typed_line(error))
    if engine.name != point.name:
        return _broken(point, f"the entry point {point.name} = {point.value} names an engine {engine.name!r}")
    return engine


def _broken(point: metadata.EntryPoint, reason: str) -> BrokenEngine:
    owner = point.dist.name if point.dist is not None else point.value
    return BrokenEngine(point.name, f"the engine does not load ({reason}): update or remove {owner}")


@functools.cache
def outside_distributions() -> dict[str, str]:
    """Return name and version of each distribution other than bitpick that adds an engine."""
    points = metadata.entry_points(group=GROUP)
    return {p.dist.name: p.dist.version for p in points if p.dist is not None and p.dist.name != "bitpick"}


def engine(name: str) -> Engine:
    """Return the engine with this name.

    Raises:
        RecipeError: there is no such engine.
    """
    try:
        return engines()[name]
    except KeyError:
        raise RecipeError(
            f"there is no engine {name!r}",
            expected=f"one of {', '.join(engines())}",
            fix=did_you_mean(name, engines()),
        ) from None


def missing(recipe: Recipe) -> str | None:
    """Return which packages that a recipe needs are missing, and the command that installs them; None if none is."""
    needed = (engine(recipe.engine).missing(), *(passes()[name].missing() for name in passes_of(recipe)))
    return next((reason for reason in needed if reason), None)


EngineRow = dict[str, Any]
"""One entry of `engine_table`; plain JSON."""


def engine_table() -> list[EngineRow]:
    """Describe what each engine can do on this machine."""
    return [
        {
            "name": each.name,
            "missing": each.missing(),
            "deprecated": each.deprecated,
            "versions": {p: v for p in each.packages if (v := installed_version(p)) is not None},
            "starts_from": [format_.value for format_ in each.accepts],
            "recipe_files": [
                key
                for key, supported in (("exclude", each.scopes), ("weights", each.mixes), ("settings", each.configures))
                if supported
            ],
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
