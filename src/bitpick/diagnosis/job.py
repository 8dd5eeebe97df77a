"""What a diagnosis does in a worker process, beside what a comparison does there."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import validate_call

from bitpick.datasets.dataset import Samples
from bitpick.engines.registry import engine
from bitpick.measures import sqnr
from bitpick.measures.sqnr import Noise
from bitpick.models.model import Format
from bitpick.pipeline.build_job import open_build
from bitpick.recipe import Recipe, baseline

FUNCTIONS = __name__
INSIDE_BATCH = 100  # at most: every layer's output of a batch, twice, is in memory


@validate_call
def layers(source: Path, recipe: Recipe) -> list[tuple[str, str]]:
    """The layers that a recipe quantizes, see `Engine.layers`."""
    return engine(recipe.engine).layers(source, recipe)


@dataclass(frozen=True)
class Inside:
    """What `insides` tells of a layer, see `diagnosed.Layer`."""

    weight_sqnr_db: float | None = None
    activation_sqnr_db: float | None = None
    outlier_ratio: float | None = None


@validate_call
def insides(
    source: Path, form: Format, recipe: Recipe, folder: Path, samples: Samples, names: Sequence[str]
) -> dict[str, Inside]:
    """How much noise there is in each layer of a build: in its weights, and in what it computes.

    Args:
        source: the model, in the format that the recipe starts from.
        form: that format.
        recipe: the recipe.
        folder: its build.
        samples: what to run.
        names: the layers to look at.

    Returns:
        What the runtime shows, by layer; empty where it shows nothing.
    """
    each = engine(recipe.engine)
    stored: dict[str, float | None] = {}
    computed = {name: Noise() for name in names}
    with tempfile.TemporaryDirectory(prefix="bitpick-") as place:
        floats = each.build(source, each.float_recipe(form) or baseline(each.name), samples, None, Path(place))
        opened = each.insides(floats, open_build(folder))
        if opened is None:
            return {}
        with opened as both:
            for name, expected, found in both.weights():
                stored[name] = sqnr.weights(expected, found)
            for batch in samples.batches(samples.at_once(INSIDE_BATCH, kept=True)):
                for name, expected, found in both.outputs(batch):
                    if name in computed:
                        computed[name].add(expected, found)
    return {n: Inside(stored.get(n), computed[n].decibels, computed[n].outlier_ratio) for n in names}
