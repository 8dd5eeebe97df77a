"""The number formats that a build's runtime computes in, and how much of the build runs as integers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from bitpick.schema.numbers import Share

_STRICT = ConfigDict(frozen=True, extra="forbid")


class Grid(BaseModel):
    """The quantization grid of a tensor: the numbers that it may hold.

    Attributes:
        dtype: `s4`, `s8`, `u8`, `s16`, `float16`, `bfloat16`, `float32`.
        granularity: of the scales; None for floats, and for weights of one channel, where both are the same.
        symmetric: whether zero lies in the middle of the grid; None for floats, and if it cannot be seen.
        bits: effective bits: 8, or 7 with reduced range; None for floats, and if they cannot be seen.
        dynamic: whether the scale is computed while the model runs.
    """

    model_config = _STRICT

    dtype: str
    granularity: Literal["per_tensor", "per_channel"] | None = None
    symmetric: bool | None = None
    bits: int | None = None
    dynamic: bool = False


class Fingerprint(BaseModel):
    """The number formats of a build, read from the graph that its runtime executes.

    Attributes:
        weights: the grid of most of the weights; of most of the integer ones, if any weights are integers.
        mix: number of the integer weights by dtype, most first; None if they all have one.
        activations: the grid of the activations that they are multiplied with, in most of the work.
        input: dtype of the build's input.
        output: dtype of the build's output.
        softmax: dtype that the softmax computes in; None if the build has no softmax.
    """

    model_config = _STRICT

    weights: Grid | None = None
    mix: dict[str, int] | None = None
    activations: Grid | None = None
    input: str
    output: str
    softmax: str | None = None


class Coverage(BaseModel):
    """How much of a build runs as integers.

    Attributes:
        macs: share of multiply-accumulates computed on integers.
        weights: share of weights that the runtime stores as integers.
        float_operators: type and name of each operator that computes on floats.
        uncounted: type and name of each operator whose weights or multiply-accumulates could not be counted. The
            shares leave them out.
    """

    model_config = _STRICT

    macs: Share
    weights: Share
    float_operators: list[str] = []
    uncounted: list[str] = []
