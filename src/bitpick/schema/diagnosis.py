"""What a diagnosis found: which layers hurt, which samples, and what to try next; and example images."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from bitpick.recipe import Recipe

_STRICT = ConfigDict(extra="forbid", frozen=True)


class Example(BaseModel):
    """An evaluation sample as an image.

    Attributes:
        sample: its place in the evaluation set.
        image: the file, its path relative to the run directory.
        label: its class.
        predictions: the class that each row predicts, by the row's id; the baseline is one of them.
    """

    model_config = _STRICT

    sample: int
    image: str
    label: str
    predictions: dict[str, str]


class Change(BaseModel):
    """What a build with some layers in float loses, beside the float32.

    Attributes:
        recipe: its recipe.
        correct: predictions that are right.
        drop: the float32's accuracy minus this one, as a fraction.
        drop_interval: Tango's score interval at 95%.
        flips: predictions that differ.
        sqnr_db: signal of the float32's outputs over the noise of the difference; None without noise.
        integer_macs: share of the multiply-accumulates that its runtime executes on integers; None where not known.
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
        weight_sqnr_db: signal of the float weights over what rounding changed, in decibels, as its output channels have
            it: each counts the same; None where not known.
        activation_sqnr_db: the same of its output, in the whole quantized build; None where not known.
        outlier_ratio: the largest magnitude of its float output over the 99.99th percentile; None where not known.
        only_quantized: the build in which only this layer is quantized.
        only_float: the build in which only this layer is left in float.
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
    """Which layers of a build hurt, and what to do.

    Attributes:
        recipe: the row that was diagnosed.
        samples: evaluation samples that each change was measured on.
        whole: the recipe itself on these samples.
        layers: in the graph's order.
        left_out: the layers of which no build of their own was made, by name.
        tried: other recipes that were measured on the same samples on the way to the next one.
        worst: the evaluation samples that the build does most harm to.
        advice: what was found and what to try, in words.
        next: the recipe to try next; None where nothing promises to help.
        applied: the row of that recipe, where it was run.
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
