"""Derive recipes that leave other layers in float."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bitpick.recipe import Recipe, pattern_of


def without(recipe: Recipe, layers: Sequence[str]) -> Recipe:
    """Return the recipe with more layers left in float."""
    return _excluding(recipe, layers, f"without-{layers[0] if len(layers) == 1 else f'{len(layers)}-layers'}")


def only(recipe: Recipe, layer: str, layers: Iterable[str]) -> Recipe:
    """Return the recipe with all layers but one left in float."""
    return _excluding(recipe, [other for other in layers if other != layer], f"only-{layer}")


def changed(recipe: Recipe, **fields: str) -> Recipe:
    """Return the recipe with other field values, validated."""
    return Recipe.model_validate(recipe.model_dump() | fields)


def _excluding(recipe: Recipe, layers: Sequence[str], label: str) -> Recipe:
    scheme = f"{recipe.dtypes}-{recipe.granularity}-{recipe.calibration}" if recipe.granularity else recipe.dtypes
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", f"{scheme}-{label}")[:64]
    exclude = (*recipe.exclude, *(pattern_of(layer) for layer in layers))
    return Recipe.model_validate(recipe.model_dump() | {"exclude": exclude, "name": name})
