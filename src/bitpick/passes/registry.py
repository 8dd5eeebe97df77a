"""The registry of passes."""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import pkgutil
from collections.abc import Mapping
from dataclasses import replace

from bitpick import passes as package
from bitpick.passes.graph_pass import STAGES, GraphPass
from bitpick.passes.weight_grid import WeightGrid
from bitpick.recipe import Recipe


@functools.cache
def passes() -> Mapping[str, GraphPass]:
    """Return every pass by name, in alphabetical order: one for each module of this package that defines `PASS`."""
    names = (info.name for info in pkgutil.iter_modules(package.__path__))
    modules = (importlib.import_module(f"bitpick.passes.{name}") for name in names)
    by_name = {module.PASS.name: module.PASS for module in modules if hasattr(module, "PASS")}
    return dict(sorted(by_name.items()))


def passes_of(recipe: Recipe) -> tuple[str, ...]:
    """Return the names of the passes that a recipe requests, in the order in which they are applied."""
    chosen = [each for name, each in passes().items() if name in recipe.options]
    return tuple(each.name for each in sorted(chosen, key=lambda each: STAGES.index(each.stage)))


def unprepared(recipe: Recipe) -> Recipe | None:
    """Return a recipe without its passes; None if it has none."""
    names = passes_of(recipe)
    options = {name: value for name, value in recipe.options.items() if name not in names}
    return recipe.model_copy(update={"options": options}) if names else None


def gridded_passes(recipe: Recipe) -> tuple[str, ...]:
    """Return the names of a recipe's passes that work on the grid of the weights."""
    return tuple(name for name in passes_of(recipe) if passes()[name].gridded)


def mix_of(recipe: Recipe) -> str:
    """Return the digest of what makes a recipe's passes treat single layers differently; empty if nothing does.

    Weights that were rounded for eight bits are as good as those that were not, so a layer that is left in float only
    matters beside four bits.
    """
    if not recipe.weights and not (recipe.exclude and recipe.weight_dtype == "s4"):
        return ""
    decides = [recipe.engine, recipe.dtypes, recipe.granularity, recipe.exclude, recipe.weights]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:8]


def steps_of(recipe: Recipe, grid: WeightGrid | None, draw: str) -> tuple[str, ...]:
    """Return the steps that prepare the graph for a recipe, in order: `name[=grid][@draw]`, see `GraphPass.step`.

    Args:
        recipe: the recipe.
        grid: the grid of its weights; None if it has none, and then none of its passes works on a grid.
        draw: the name of the calibration draw; empty for the run's own calibration set.
    """
    own = grid and replace(grid, mix=mix_of(recipe))
    return tuple(passes()[name].step(own, draw) for name in passes_of(recipe))
