"""The registry of passes."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping

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


def steps_of(recipe: Recipe, grid: WeightGrid | None, draw: str) -> tuple[str, ...]:
    """Return the steps that prepare the graph for a recipe, in order: `name[=grid][@draw]`, see `GraphPass.step`.

    Args:
        recipe: the recipe.
        grid: the grid of its weights; None if it has none, and then none of its passes works on a grid.
        draw: the name of the calibration draw; empty for the run's own calibration set.
    """
    return tuple(passes()[name].step(grid, draw) for name in passes_of(recipe))
