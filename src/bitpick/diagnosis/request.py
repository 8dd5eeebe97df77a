"""Check the request of a diagnosis before anything runs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitpick.engines.engine import Engine
from bitpick.engines.registry import engine, engines, missing
from bitpick.errors import RecipeError
from bitpick.models.model import Format
from bitpick.models.source import Source
from bitpick.pipeline.request import make_request
from bitpick.recipe import Recipe
from bitpick.schema.groups import Builds, Calibration, Targets, Timing
from bitpick.schema.other_groups import Depth
from bitpick.schema.run import RequestRecord
from bitpick.schema.settings import Settings


def make_diagnosis(
    model: Path | Source,
    data: str,
    recipe: Recipe,
    named: str,
    *,
    samples: int = Depth.samples,
    calibration: Calibration | None = None,
    data_options: Mapping[str, Any] | None = None,
    accept_baseline: bool = False,
) -> tuple[RequestRecord, Format]:
    """Check a request, and add its digest, which differs from that of a comparison of the same recipe.

    Args:
        model: the model.
        data: the data set, as users write it.
        recipe: the recipe.
        named: the recipe as the user named it, by id or by file.
        samples: the number of evaluation samples to measure each layer on.
        calibration: the calibration samples; by default the defaults.
        data_options: how the data set is read; see `DataOptions.said`.
        accept_baseline: go on even if the float model makes no sense of the data.

    Returns:
        The request and the model's format.

    Raises:
        RequestError: the model or recipe does not exist, or cannot be diagnosed.
    """
    settings = Settings(
        builds=Builds(recipes=(named,)),
        calibration=calibration or Calibration(),
        targets=Targets(("host",), samples),
        timing=Timing(0),
    )
    request, model_format = make_request(model, data, settings, data_options, accept_baseline)
    check(recipe)
    digest = hashlib.sha256(f"diagnose {request.sha256}".encode()).hexdigest()
    return request.model_copy(update={"sha256": digest}), model_format


def check(recipe: Recipe) -> None:
    """Refuse a recipe that cannot be diagnosed.

    Raises:
        RecipeError: it quantizes nothing, or its engine cannot leave single layers in float or is not installed.
    """
    quantizer = engine(recipe.engine)
    if recipe.kind != "quantized":
        raise RecipeError(
            f"{recipe.id} has nothing to diagnose: it quantizes no layer", expected="a recipe with integer weights"
        )
    if not quantizer.scopes:
        alternatives = ", ".join(name for name, other in engines().items() if _can_scope(other, recipe)) or "none here"
        raise RecipeError(
            f"{recipe.id} cannot be diagnosed: {quantizer.name} cannot leave single layers in float",
            expected=f"an engine that can, with {recipe.dtypes}: {alternatives}",
            fix="diagnose the same dtypes with one of them: layers that hurt there are likely to hurt here",
        )
    if reason := missing(recipe):
        raise RecipeError(f"{recipe.id}: {reason}")


def _can_scope(candidate: Engine, recipe: Recipe) -> bool:
    return candidate.scopes and any(recipe.dtypes in capability.dtypes for capability in candidate.capabilities)
