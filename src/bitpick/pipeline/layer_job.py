"""Find out, in worker processes, which layer of the clean graph an engine calls by which names.

Passes work on the clean graph, and a recipe's patterns are about the engine's own names. The engine's form of a graph
stores the same weights, so layers are known by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, validate_call

from bitpick.conversion import onnx_file
from bitpick.engines.registry import engine
from bitpick.engines.scoping import mixed
from bitpick.errors import EngineError
from bitpick.passes.graphs import Graph
from bitpick.passes.layers import layers
from bitpick.passes.weight_grid import WeightGrid
from bitpick.recipe import Recipe

FUNCTIONS = __name__
_ROUNDING = 1e-4  # of the largest weight: conversions fold batch norms in other orders


class Matches(BaseModel):
    """Which layer is which.

    Attributes:
        layers: for each layer of the clean graph, the names of each layer of the engine with the same weights.
        others: the names of each layer of the engine whose weights are in no layer of the clean graph.
    """

    layers: dict[str, list[list[str]]]
    others: list[list[str]]


class Mix(BaseModel):
    """A grid that single layers have not: its name, the recipe that says which, and the file of its `Matches`."""

    grid: str
    recipe: Recipe
    matches: Path


@validate_call
def match(source: Path, clean: Path, name: str, out: Path) -> None:
    """Write the `Matches` of an engine's form of a graph.

    Args:
        source: the form.
        clean: the clean graph that it was made from.
        name: the engine.
        out: the file to write, JSON.
    """
    graph = Graph(onnx_file.load(clean))
    own = [(list(names), np.sort(weights, axis=None)) for names, weights in engine(name).layer_weights(source)]
    found, matched = {}, set[int]()
    for layer in layers(graph):
        weights = np.sort(layer.rows(graph), axis=None)
        places = [place for place, (_, other) in enumerate(own) if _alike(weights, other)]
        found[layer.name] = [own[place][0] for place in places]
        matched |= set(places)
    others = [names for place, (names, _) in enumerate(own) if place not in matched]
    out.write_text(Matches(layers=found, others=others).model_dump_json(), encoding="utf-8")


def _alike(weights: NDArray[np.float64], others: NDArray[np.float64]) -> bool:
    """Return whether sorted weights are the same up to rounding."""
    if weights.size != others.size:
        return False
    return bool(np.abs(weights - others).max() <= _ROUNDING * np.abs(weights).max())


def grid_of(mix: str | Mix) -> WeightGrid:
    """Return the grid with a name, or that of a mix, with those of single layers.

    Raises:
        EngineError: it is not clear which layers of the clean graph a recipe's patterns are about.
    """
    if isinstance(mix, str):
        return WeightGrid.parse(mix)
    matches = Matches.model_validate_json(mix.matches.read_text(encoding="utf-8"))
    return replace(WeightGrid.parse(mix.grid), layers=grids(mix.recipe, matches))


def grids(recipe: Recipe, matches: Matches) -> Mapping[str, WeightGrid | None]:
    """Return the grids of the layers that a recipe treats differently, by the names of the clean graph.

    Args:
        recipe: the recipe.
        matches: of its engine and graph.

    Raises:
        EngineError: it is not clear which layers of the clean graph a recipe's patterns are about, or they match none.
    """
    mixed(recipe, [*(names for alike in matches.layers.values() for names in alike), *matches.others])  # checks it
    other = engine(recipe.engine).weight_grid(recipe.with_other_weights) if recipe.weights else None
    found: dict[str, WeightGrid | None] = {}
    unclear = []
    others_are_plain = all(_dtype(recipe, names) == recipe.weight_dtype for names in matches.others)
    for layer, alike in matches.layers.items():
        asked = {_dtype(recipe, names) for names in alike}
        if len(asked) > 1 or not (alike or others_are_plain):
            unclear.append(layer)
        elif asked == {"float32"}:
            found[layer] = None
        elif asked == {recipe.mixed_with}:
            found[layer] = other
    if unclear:
        names = ", ".join(names[0] for names in matches.others)
        raise EngineError(
            f"passes cannot tell which layer {recipe.engine} makes of {', '.join(unclear)}, so they cannot prepare "
            "single layers",
            expected=f"a layer with the same weights, alone{f'; those of {names} are in no layer' if names else ''}",
            fix="leave out the passes that tune, or change the recipe's patterns",
        )
    return found


def _dtype(recipe: Recipe, names: Iterable[str]) -> str | None:
    """Return the dtype of the weights of a layer with these names."""
    known = list(names)
    if any(map(recipe.excludes, known)):
        return "float32"
    return recipe.mixed_with if any(map(recipe.mixes, known)) else recipe.weight_dtype
