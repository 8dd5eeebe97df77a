"""The recipes that a search can try: the recipes of its engines, each with and without passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bitpick.engines.registry import engine
from bitpick.models.model import Model
from bitpick.passes.registry import passes, unprepared
from bitpick.pipeline.forms import start_form
from bitpick.recipe import Recipe
from bitpick.targets.host import Host

NOTHING = "nothing"


@dataclass(frozen=True)
class Space:
    """A grid of recipes.

    Attributes:
        schemes: for each engine, its recipes without passes, by id.
        rewriting: the passes that keep the function and have something to do in the model; used together.
        tuning: the passes that tune, of which a recipe has at most one.
        model: the model.
    """

    schemes: Mapping[str, Sequence[str]]
    rewriting: tuple[str, ...]
    tuning: tuple[str, ...]
    model: Model

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

    def recipe(self, scheme: str, rewritten: bool, tuned: str) -> Recipe | None:
        """Return a recipe of the grid; None if its engine does not have it.

        Args:
            scheme: the id of a recipe without passes.
            rewritten: whether the passes that keep the function prepare the graph.
            tuned: the pass that tunes it, or `NOTHING`.
        """
        plain = Recipe.parse(scheme)
        names = (*(self.rewriting if rewritten else ()), *((tuned,) if tuned != NOTHING else ()))
        recipe = plain.model_copy(update={"options": plain.options | dict.fromkeys(names, "")})
        builder = engine(recipe.engine)
        if builder.refusal(recipe) is not None or start_form(recipe, self.model.format) is None:
            return None
        return recipe

    def __iter__(self) -> Iterator[Recipe]:
        """Iterate over all recipes of the grid."""
        seen = set()
        for scheme in (scheme for schemes in self.schemes.values() for scheme in schemes):
            for rewritten in (False, True) if self.rewriting else (False,):
                for tuned in (NOTHING, *self.tuning):
                    recipe = self.recipe(scheme, rewritten, tuned)
                    if recipe is not None and recipe.id not in seen:
                        seen.add(recipe.id)
                        yield recipe
