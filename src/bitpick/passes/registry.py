"""The passes there are."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping

from bitpick import passes as room
from bitpick.passes.graph_pass import GraphPass
from bitpick.recipe import Recipe


@functools.cache
def passes() -> Mapping[str, GraphPass]:
    """Every pass by its name, in the order of their names: each module of this room that defines `PASS`."""
    names = (info.name for info in pkgutil.iter_modules(room.__path__))
    modules = (importlib.import_module(f"bitpick.passes.{name}") for name in names)
    found = {module.PASS.name: module.PASS for module in modules if hasattr(module, "PASS")}
    return dict(sorted(found.items()))


def passes_of(recipe: Recipe) -> tuple[str, ...]:
    """The passes that a recipe asks for, in the order in which they are applied."""
    return tuple(name for name in passes() if name in recipe.options)
