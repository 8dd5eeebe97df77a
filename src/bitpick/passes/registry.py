"""The registry of passes."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping

from bitpick import passes as package
from bitpick.passes.graph_pass import GraphPass
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
    return tuple(name for name in passes() if name in recipe.options)
