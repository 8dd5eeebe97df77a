"""Functions that a diagnosis runs in worker processes, in addition to those of a comparison."""

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
INSIDE_BATCH = 100  # at most: memory holds every layer's output of a batch twice


@validate_call
def layers(source: Path, recipe: Recipe) -> list[tuple[str, str]]:
    """Return the layers that a recipe quantizes; see `Engine.layers`."""
    return engine(recipe.engine).layers(source, recipe)


@dataclass(frozen=True)
class Inside:
    """The measures that `insides` returns for a layer; see `schema.diagnosis.Layer`."""

    weight_sqnr_db: float | None = None
    activation_sqnr_db: float | None = None
    outlier_ratio: float | None = None


@validate_call
def insides(
    source: Path, form: Format, recipe: Recipe, folder: Path, samples: Samples, names: Sequence[str]
) -> dict[str, Inside]:
    """Measure the noise in each layer of a build: in its weights and in its outputs.

    Args:
        source: the model, in the format that the recipe starts from.
        form: that format.
        recipe: the recipe.
        folder: the folder of its build.
        samples: the samples to run.
        names: the layers to measure.

    Returns:
        The measures by layer; empty if the runtime gives no access to them.
    """
    runner = engine(recipe.engine)
    weight_sqnr: dict[str, float | None] = {}
    noise = {name: Noise() for name in names}
    with tempfile.TemporaryDirectory(prefix="bitpick-") as temporary:
        float_build = runner.build(
            source, runner.float_recipe(form) or baseline(runner.name), samples, None, Path(temporary)
        )
        access = runner.insides(float_build, open_build(folder))
        if access is None:
            return {}
        with access as pair:
            for name, expected, quantized in pair.weights():
                weight_sqnr[name] = sqnr.weights(expected, quantized)
            for batch in samples.batches(samples.at_once(INSIDE_BATCH, kept=True)):
                for name, expected, quantized in pair.outputs(batch):
                    if name in noise:
                        noise[name].add(expected, quantized)
    return {n: Inside(weight_sqnr.get(n), noise[n].decibels, noise[n].outlier_ratio) for n in names}
