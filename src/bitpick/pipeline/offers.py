"""The recipes that a request asks for."""

from __future__ import annotations

from collections.abc import Sequence

from bitpick.engines.capability import Offer
from bitpick.engines.engine import Engine
from bitpick.engines.registry import engine, engines
from bitpick.errors import RecipeError
from bitpick.models.model import Model
from bitpick.recipe import PRESETS, Recipe, baseline
from bitpick.schema.run import RequestRecord
from bitpick.targets.host import Host


def offers(request: RequestRecord, model: Model, host: Host) -> list[Offer]:
    """The recipes a request asks for, baselines of the engines involved first."""
    chosen: list[Offer] = []
    asked = [request.recipe_fields.get(text) or Recipe.parse(text) for text in request.recipes]
    for each in engines().values():
        if request.engines and each.name not in request.engines:
            continue
        if asked:
            mine = [r for r in asked if r.engine == each.name and r != baseline(each.name)]
            if mine or baseline(each.name) in asked or each.name in request.engines:
                chosen += [Offer(r, frozenset(), each.missing()) for r in (baseline(each.name), *mine)]
        else:
            chosen += _preset_offers(each, request.preset, model, host)
    return sorted(chosen, key=lambda offer: offer.recipe.kind != "baseline")


def check_offered(request: RequestRecord, model: Model, host: Host) -> None:
    """Refuse a request that makes no quantized build, or none of an engine that it names.

    Raises:
        RecipeError: with the preset that has some, where one does.
    """
    asked = offers(request, model, host)
    absent = [name for name in request.engines if name not in {offer.recipe.engine for offer in asked}]
    if not absent and _quantizes(asked):
        return
    if request.recipes:
        raise RecipeError("no quantized recipe is asked for", fix="name one beside the float32's, or none at all")
    names = absent or request.engines
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
    """Whether a quantized build is among what is offered, if only to say why it cannot be made."""
    return any(offer.recipe.kind == "quantized" or offer.unsupported for offer in offered)


def _preset_offers(each: Engine, preset: str, model: Model, host: Host) -> list[Offer]:
    mine = [offer for offer in each.recipes(model, host) if preset in offer.presets]
    if mine and (missing := each.missing()):
        return [Offer(baseline(each.name), mine[0].presets, missing)]
    return mine
