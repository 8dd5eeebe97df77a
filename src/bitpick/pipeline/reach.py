"""Which recipes can be made of a model at all, and which engines can do nothing with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bitpick.engines.capability import Offer
from bitpick.engines.registry import engine
from bitpick.models.model import Format
from bitpick.pipeline.forms import unreachable
from bitpick.schema.run import RequestRecord


def with_reach(offers: Sequence[Offer], source: Format) -> list[Offer]:
    """The offers, unsupported where no conversion leads from the model to a form that they start from."""
    return [replace(each, unsupported=each.unsupported or unreachable(each.recipe, source)) for each in offers]


def out_of_reach(offers: Sequence[Offer], source: Format, request: RequestRecord) -> set[str]:
    """The engines that can make nothing of this model here: not installed, or without a conversion that leads to them.

    Not those that the request names, alone or in a recipe: whoever asks for a row gets one.

    Args:
        offers: all of them.
        source: the model's format.
        request: what was asked for.
    """
    named = {*request.engines, *(recipe.partition(":")[0] for recipe in request.recipes)}
    possible = {
        each.recipe.engine
        for each in offers
        if engine(each.recipe.engine).missing() is None and unreachable(each.recipe, source) is None
    }
    return {each.recipe.engine for each in offers} - possible - named
