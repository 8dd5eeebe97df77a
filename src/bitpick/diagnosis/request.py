"""What to diagnose: checked before anything runs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitpick.engines.engine import Engine
from bitpick.engines.registry import engine, engines
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
    """Check a request and give it its digest, which is not that of a comparison of the same recipe.

    Args:
        model: the model.
        data: a data set, as users write it.
        recipe: the recipe.
        named: the recipe as the user named it, by id or by file.
        samples: how many evaluation samples each layer is measured on.
        calibration: the calibration samples; by default those that everybody gets.
        data_options: how the data set is read, see `DataOptions.said`.
        accept_baseline: go on with a float model that makes no sense of the data.

    Returns:
        The request and the model's format.

    Raises:
        RequestError: no such model or recipe, or one that cannot be diagnosed.
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
    """Refuse a recipe that has no layers to look at.

    Raises:
        RecipeError: it quantizes nothing, or its engine cannot leave single layers in float, or is not installed.
    """
    each = engine(recipe.engine)
    if recipe.kind != "quantized":
        raise RecipeError(
            f"{recipe.id} has nothing to diagnose: it has no 8-bit layers", expected="a recipe with 8-bit weights"
        )
    if not each.scopes:
        others = ", ".join(name for name, other in engines().items() if _scopes(other, recipe)) or "none here"
        raise RecipeError(
            f"{recipe.id} cannot be diagnosed: {each.name} cannot leave single layers in float",
            expected=f"an engine that can, with {recipe.dtypes}: {others}",
            fix="diagnose the same dtypes with one of them: layers that hurt there are likely to hurt here",
        )
    if missing := each.missing():
        raise RecipeError(f"{recipe.id}: {missing}")


def _scopes(each: Engine, recipe: Recipe) -> bool:
    return each.scopes and any(recipe.dtypes in capability.dtypes for capability in each.capabilities)
