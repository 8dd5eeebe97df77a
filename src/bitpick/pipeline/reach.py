"""Find the recipes that cannot start from a model, and the engines that can do nothing with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bitpick.engines.capability import Offer
from bitpick.engines.registry import engine
from bitpick.models.model import Format
from bitpick.pipeline.forms import unreachable
from bitpick.schema.run import RequestRecord


def with_reach(offers: Sequence[Offer], source: Format) -> list[Offer]:
    """Return the offers, marked unsupported if no conversion leads from the model to a form they start from."""
    return [replace(offer, unsupported=offer.unsupported or unreachable(offer.recipe, source)) for offer in offers]


def out_of_reach(offers: Sequence[Offer], source: Format, request: RequestRecord) -> set[str]:
    """Return the engines that cannot build this model: not installed, or no conversion leads to them.

    Engines that the request names, directly or in a recipe, are left out: the user gets a row for them anyway.

    Args:
        offers: all offers.
        source: the model's format.
        request: the request.
    """
    named = {*request.engines, *(recipe.partition(":")[0] for recipe in request.recipes)}
    possible = {
        offer.recipe.engine
        for offer in offers
        if engine(offer.recipe.engine).missing() is None and unreachable(offer.recipe, source) is None
    }
    return {offer.recipe.engine for offer in offers} - possible - named
