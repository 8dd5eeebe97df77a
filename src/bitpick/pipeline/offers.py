"""Choose the recipes that a request asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bitpick.engines.capability import Offer
from bitpick.engines.engine import Engine
from bitpick.engines.registry import engine, engines, missing
from bitpick.errors import RecipeError
from bitpick.library_errors import typed_line
from bitpick.models.model import Model
from bitpick.passes.registry import passes, passes_of
from bitpick.recipe import PRESETS, Recipe, baseline
from bitpick.schema.run import RequestRecord
from bitpick.targets.host import Host


def offers(request: RequestRecord, model: Model, host: Host) -> list[Offer]:
    """Return the recipes a request asks for, baselines of the engines involved first."""
    chosen: list[Offer] = []
    requested = [request.recipe_fields.get(text) or Recipe.parse(text) for text in request.recipes]
    for candidate in engines().values():
        if request.engines and candidate.name not in request.engines:
            continue
        if requested:
            own_recipes = [
                recipe for recipe in requested if recipe.engine == candidate.name and recipe != baseline(candidate.name)
            ]
            if own_recipes or baseline(candidate.name) in requested or candidate.name in request.engines:
                chosen += [
                    Offer(recipe, frozenset(), missing(recipe)) for recipe in (baseline(candidate.name), *own_recipes)
                ]
        else:
            chosen += _preset_offers(candidate, request.preset, model, host)
    return sorted(chosen, key=lambda offer: offer.recipe.kind != "baseline")


def check_offered(request: RequestRecord, model: Model, host: Host) -> None:
    """Refuse a request without a quantized build, or without one for an engine that it names.

    Raises:
        RecipeError: the request is refused; the fix names a preset with quantized recipes, if there is one.
    """
    offered = offers(request, model, host)
    without = [name for name in request.engines if name not in {offer.recipe.engine for offer in offered}]
    if not without and _quantizes(offered):
        return
    if request.recipes:
        raise RecipeError("no quantized recipe is asked for", fix="name one beside the float32's, or none at all")
    names = without or request.engines
    others = [
        preset
        for preset in PRESETS
        if all(_quantizes(_preset_offers(engine(name), preset, model, host)) for name in names)
    ]
    raise RecipeError(
        f"the preset {request.preset} has no quantized recipe of {', '.join(names)}",
        fix=f"take --preset {' or '.join(others)}" if others else "name another engine beside it",
    )


def _quantizes(offered: Sequence[Offer]) -> bool:
    """Whether any offer is a quantized build, including those that cannot be made."""
    return any(offer.recipe.kind == "quantized" or offer.unsupported for offer in offered)


def _preset_offers(candidate: Engine, preset: str, model: Model, host: Host) -> list[Offer]:
    try:
        recipes = candidate.recipes(model, host)
    except Exception as error:  # noqa: BLE001 - an engine may be another distribution's; it costs its rows
        recipes = [Offer(baseline(candidate.name), frozenset(PRESETS), f"it names no recipes: {typed_line(error)}")]
    in_preset = [offer for offer in recipes if preset in offer.presets]
    if in_preset and (reason := candidate.missing()):
        return [Offer(baseline(candidate.name), in_preset[0].presets, reason)]
    by_id = {each.recipe.id: each for each in (_applicable(offer, model) for offer in reversed(in_preset))}
    return list(reversed(by_id.values()))


def _applicable(offer: Offer, model: Model) -> Offer:
    """Return an offer without the passes that have nothing to do in a model."""
    names = set(passes_of(offer.recipe)) - (model.passes if model.passes is not None else passes().keys())
    options = {name: value for name, value in offer.recipe.options.items() if name not in names}
    return replace(offer, recipe=offer.recipe.model_copy(update={"options": options})) if names else offer
