"""The layers that a recipe treats differently, by the patterns of its `exclude` and `weights`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from bitpick.errors import EngineError
from bitpick.recipe import Recipe, matches

_SHOWN = 12  # layers named in an error


def excluded(recipe: Recipe, layers: Iterable[str]) -> list[str]:
    """Return the layers that a recipe leaves in float.

    Raises:
        EngineError: one of the recipe's patterns matches no layer.
    """
    names = list(layers)
    for pattern in recipe.exclude:
        if not any(matches(pattern, name) for name in names):
            raise _unmatched(pattern, names, "exclude")
    return [name for name in names if recipe.excludes(name)]


def mixed(recipe: Recipe, layers: Iterable[Sequence[str]]) -> list[Sequence[str]]:
    """Return the layers that a recipe gives other weights than the rest; one that it leaves in float has none.

    Args:
        recipe: the recipe.
        layers: the layers with weights, each as the names that patterns can call it by.

    Raises:
        EngineError: one of the recipe's patterns matches no layer.
    """
    candidates = list(layers)
    for pattern in recipe.weights:
        if not any(matches(pattern, name) for names in candidates for name in names):
            raise _unmatched(pattern, [name for names in candidates for name in names], "weights")
    return [names for names in candidates if any(map(recipe.mixes, names)) and not any(map(recipe.excludes, names))]


def _unmatched(pattern: str, names: Sequence[str], field: str) -> EngineError:
    """Return the error that a pattern matches no layer; it lists the layers with names like the pattern first."""
    kind = "no layer" if field == "exclude" else "no layer with weights"
    telling = [name for name in dict.fromkeys(names) if name and not name.isdecimal()]
    near = get_close_matches(pattern.strip("*/"), telling, n=_SHOWN, cutoff=0.5)
    shown = list(dict.fromkeys([*near, *telling]))
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return EngineError(
        f"{kind} of this model is called like {pattern!r}",
        expected=f"a pattern that matches one of {', '.join(shown[:_SHOWN])}{more}",
        fix=f"change the recipe's {field}",
    )
