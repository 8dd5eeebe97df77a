"""What a build really is: the number formats that its runtime computes in, and how much of it runs as integers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

_STRICT = ConfigDict(frozen=True, extra="forbid")


class Grid(BaseModel):
    """The numbers that a tensor may take.

    Attributes:
        dtype: `s8`, `u8`, `float16`, `bfloat16`, `float32`.
        granularity: of its scales; None for floats, and for weights of one channel, where both are the same.
        symmetric: whether zero lies in the middle of the grid; None for floats, and where it cannot be seen.
        bits: effective bits: 8, or 7 under reduced range; None for floats, and where they cannot be seen.
        dynamic: whether its scale is found while the model runs.
    """

    model_config = _STRICT

    dtype: str
    granularity: Literal["per_tensor", "per_channel"] | None = None
    symmetric: bool | None = None
    bits: int | None = None
    dynamic: bool = False


class Fingerprint(BaseModel):
    """What a build really is, read off the graph that its runtime executes.

    Attributes:
        weights: the grid that most of the weights have; where some are kept as integers, of these.
        activations: the grid of what they are multiplied with, in most of the work.
        input: dtype of the build's input.
        output: dtype of the build's output.
        softmax: dtype that the softmax computes in; None where the build has none.
    """

    model_config = _STRICT

    weights: Grid | None = None
    activations: Grid | None = None
    input: str
    output: str
    softmax: str | None = None


class Coverage(BaseModel):
    """How much of a build runs as integers.

    Attributes:
        macs: share of multiply-accumulates that are computed on 8-bit integers.
        weights: share of the weights that the runtime keeps as 8-bit integers.
        float_operators: type and name of each operator that computes on floats.
        uncounted: type and name of each operator whose weights or multiply-accumulates could not be counted. The
            shares are of the others.
    """

    model_config = _STRICT

    macs: float
    weights: float
    float_operators: list[str] = []
    uncounted: list[str] = []
