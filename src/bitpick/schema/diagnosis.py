"""The result of a diagnosis: the layers and samples that lose most, and what to try next; and example images."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from bitpick.paths import RelativePath
from bitpick.recipe import Recipe

_STRICT = ConfigDict(extra="forbid", frozen=True)


class Example(BaseModel):
    """An evaluation sample as an image.

    Attributes:
        sample: its index in the evaluation set.
        image: path of the file, relative to the run directory.
        label: its class.
        predictions: the class that each row predicts, by row id, including the baseline.
    """

    model_config = _STRICT

    sample: int
    image: RelativePath
    label: str
    predictions: dict[str, str]


class Change(BaseModel):
    """What a build with some layers in float loses against the float32.

    Attributes:
        recipe: its recipe.
        correct: number of correct predictions.
        drop: the float32's accuracy minus this one, as a fraction.
        drop_interval: Tango's score interval at 95%.
        flips: number of predictions that differ.
        sqnr_db: signal of the float32's outputs over the noise of the difference, in decibels; None without noise.
        integer_macs: share of multiply-accumulates that the runtime executes on integers; None if not known.
    """

    model_config = _STRICT

    recipe: str
    correct: int
    drop: float
    drop_interval: tuple[float, float]
    flips: int
    sqnr_db: float | None = None
    integer_macs: float | None = None


class Layer(BaseModel):
    """One layer of a quantized build.

    Attributes:
        name: as a recipe's `exclude` names it.
        kind: the operator's type.
        weight_sqnr_db: signal of the float weights over the rounding noise, in decibels, with equal weight for each
            output channel; None if not known.
        activation_sqnr_db: signal over noise of the layer's output in the fully quantized build; None if not known.
        outlier_ratio: the largest magnitude of the float output over its 99.99th percentile; None if not known.
        only_quantized: the build with only this layer quantized.
        only_float: the build with only this layer in float.
    """

    model_config = _STRICT

    name: str
    kind: str
    weight_sqnr_db: float | None = None
    activation_sqnr_db: float | None = None
    outlier_ratio: float | None = None
    only_quantized: Change | None = None
    only_float: Change | None = None


class Diagnosis(BaseModel):
    """The layers of a build that cost accuracy, and what to do.

    Attributes:
        recipe: the row that was diagnosed.
        samples: number of evaluation samples that each change was measured on.
        whole: the recipe itself on these samples.
        layers: in the graph's order.
        left_out: names of the layers that got no builds of their own.
        tried: the other recipes measured on the same samples in the search for the next one.
        worst: the evaluation samples that lose most.
        advice: the findings and what to try, in words.
        next: the recipe to try next; None if nothing promises to help.
        applied: id of that recipe's row, if it was run.
    """

    model_config = _STRICT

    recipe: str
    samples: int
    whole: Change | None = None
    layers: tuple[Layer, ...]
    left_out: tuple[str, ...] = ()
    tried: tuple[Change, ...] = ()
    worst: tuple[Example, ...] = ()
    advice: tuple[str, ...] = ()
    next: Recipe | None = None
    applied: str | None = None
