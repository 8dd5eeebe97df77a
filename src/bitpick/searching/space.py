"""The recipes that a search can try: those of its engines, with and without passes, and with mixes of layers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from bitpick.engines.registry import engine
from bitpick.models.model import Model
from bitpick.passes.registry import passes, unprepared
from bitpick.pipeline.forms import start_form
from bitpick.recipe import Recipe, pattern_of
from bitpick.searching.ranking import Ranking
from bitpick.targets.host import Host

NOTHING = "nothing"
EIGHT_BITS = (0, 1, 2, 3)
"""How many of the layers with four-bit weights have eight bits instead: those that four bits cost most."""
IN_FLOAT = (0, 1, 2)
"""How many layers stay in float."""


@dataclass(frozen=True)
class Space:
    """A grid of recipes.

    Attributes:
        schemes: for each engine, its recipes without passes, by id.
        rewriting: the passes that keep the function and have something to do in the model; used together.
        tuning: the passes that tune, of which a recipe has at most one.
        model: the model.
        ranking: the order in which layers are treated differently; no layer is without.
    """

    schemes: Mapping[str, Sequence[str]]
    rewriting: tuple[str, ...]
    tuning: tuple[str, ...]
    model: Model
    ranking: Ranking = field(default_factory=Ranking)

    @classmethod
    def of(cls, names: Sequence[str], model: Model, host: Host) -> Space:
        """Return the space of some engines for a model on a host.

        Args:
            names: of the engines.
            model: the model.
            host: this machine.
        """
        applicable = [each for name, each in passes().items() if model.passes is None or name in model.passes]
        schemes = {}
        for name in names:
            offered = [offer.recipe for offer in engine(name).recipes(model, host) if offer.unsupported is None]
            plain = [unprepared(recipe) or recipe for recipe in offered if recipe.kind == "quantized"]
            ids = dict.fromkeys(recipe.id for recipe in plain if start_form(recipe, model.format) is not None)
            if ids:
                schemes[name] = tuple(ids)
        return cls(
            schemes,
            tuple(each.name for each in applicable if each.preserves),
            tuple(each.name for each in applicable if not each.preserves and each.needs != "training"),
            model,
        )

    def ranked(self, ranking: Ranking) -> Space:
        """Return the space with mixes of layers."""
        return replace(self, ranking=ranking)

    def mixes(self, scheme: str) -> tuple[Sequence[int], Sequence[int]]:
        """Return how many layers of a recipe can have eight bits, and how many can stay in float."""
        recipe = Recipe.parse(scheme)
        builder = engine(recipe.engine)
        if not self.ranking.knows(recipe.engine):
            return (0,), (0,)
        mixed = recipe.weight_dtype == "s4" and recipe.dtypes in builder.mixes
        return EIGHT_BITS if mixed else (0,), IN_FLOAT if builder.scopes and not recipe.weights_only else (0,)

    def recipe(self, scheme: str, rewritten: bool, tuned: str, eight: int = 0, in_float: int = 0) -> Recipe | None:
        """Return a recipe of the grid; None if its engine does not have it.

        Args:
            scheme: the id of a recipe without passes.
            rewritten: whether the passes that keep the function prepare the graph.
            tuned: the pass that tunes it, or `NOTHING`.
            eight: how many layers have eight bits instead of four.
            in_float: how many layers stay in float.
        """
        plain = Recipe.parse(scheme)
        names = (*(self.rewriting if rewritten else ()), *((tuned,) if tuned != NOTHING else ()))
        prepared = plain.model_copy(update={"options": plain.options | dict.fromkeys(names, "")})
        recipe = self._mixed(prepared, eight, in_float) if eight or in_float else prepared
        if recipe is None:
            return None
        builder = engine(recipe.engine)
        if builder.refusal(recipe) is not None or start_form(recipe, self.model.format) is None:
            return None
        return recipe

    def _mixed(self, recipe: Recipe, eight: int, in_float: int) -> Recipe | None:
        """Return a recipe that treats some layers differently; None if too few layers would be left."""
        layers = self.ranking.layers(recipe)
        left = [name for name, _ in layers[:in_float]]
        fine = [name for name, has_few_bits in layers[in_float:] if has_few_bits][:eight]
        if len(left) < in_float or len(fine) < eight or len(left) + len(fine) >= len(layers):
            return None
        parts = [recipe.dtypes if recipe.granularity is None else f"{recipe.dtypes}-{recipe.granularity}"]
        parts += [recipe.calibration] if recipe.calibration else []
        for count, dtype in ((eight, recipe.mixed_with), (in_float, "float")):
            parts += [f"{count}_layer{'' if count == 1 else 's'}_{dtype}"] if count else []
        fields = {
            "exclude": tuple(map(pattern_of, left)),
            "weights": dict.fromkeys(map(pattern_of, fine), recipe.mixed_with),
            "name": re.sub(r"[^A-Za-z0-9_-]", "_", "-".join(parts)),
        }
        return Recipe.model_validate(recipe.model_dump() | fields)

    def __iter__(self) -> Iterator[Recipe]:
        """Iterate over all recipes of the grid."""
        seen = set()
        for scheme in (scheme for schemes in self.schemes.values() for scheme in schemes):
            for rewritten in (False, True) if self.rewriting else (False,):
                for tuned, *counts in product((NOTHING, *self.tuning), *self.mixes(scheme)):
                    recipe = self.recipe(scheme, rewritten, tuned, *counts)
                    if recipe is not None and recipe.id not in seen:
                        seen.add(recipe.id)
                        yield recipe
