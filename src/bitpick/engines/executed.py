"""What a runtime really executes, as an engine reads it off the runtime's own graph."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitpick.schema.fingerprint import Grid

INTEGERS = frozenset({"s8", "u8"})
FLOATS = frozenset({"float32", "float16", "bfloat16"})


FLOAT32 = Grid(dtype="float32")


@dataclass(frozen=True)
class Operator:
    """An operator that the runtime executes. What counts as a weight, and as work, is in `counting`.

    Attributes:
        name: as the executed graph, or the graph that it was made from, names it.
        kind: the operator's type, in the runtime's own word.
        arithmetic: the dtype of its products or, where it multiplies nothing, of its numbers: one of `Grid.dtype`.
        weight: the grid in which its weights are kept; None where it has none.
        activation: the grid of what its weights are multiplied with; None where they are a table of rows.
        weights: number of its weights; 0 where an operator before it has counted the same ones.
        macs: multiply-accumulates for one sample.
        layers: other names that a recipe may know it by.
        uncounted: whether it has weights or products that could not be counted; `weights` and `macs` are then what
            is known.
    """

    name: str
    kind: str
    arithmetic: str
    weight: Grid | None = None
    activation: Grid | None = None
    weights: int = 0
    macs: int = 0
    layers: tuple[str, ...] = ()
    uncounted: bool = False

    @property
    def multiplies(self) -> bool:
        """Whether it computes with weights, and does not just look up rows of them."""
        return self.weight is not None and self.activation is not None

    @property
    def integer(self) -> bool:
        """Whether it computes on integers."""
        return self.arithmetic in INTEGERS


@dataclass(frozen=True)
class Executed:
    """The graph that a runtime executes.

    Attributes:
        operators: in the runtime's order, without those that only convert between number formats, move data, or compute
            on shapes.
        input: dtype of the build's input.
        output: dtype of the build's output.
        conversions: type and name of each operator that only converts numbers from one format to another.
        transposes: type and name of each operator that only brings numbers into another order in memory.
    """

    operators: tuple[Operator, ...]
    input: str = "float32"
    output: str = "float32"
    conversions: tuple[str, ...] = ()
    transposes: tuple[str, ...] = ()


def weight_grid(
    values: NDArray[np.integer], zero_point: ArrayLike, scales: int, dtype: str, channels: int | None = None
) -> Grid:
    """The grid of stored integer weights.

    Args:
        values: the stored integers.
        zero_point: their zero points: one, or one for each channel.
        scales: number of scales.
        dtype: `s8` or `u8`.
        channels: number of output channels; None where that is not known. With one channel the granularity is None: a
            scale for each channel and a scale for all are the same.

    Returns:
        The grid. Its bits are those that the stored integers span: a symmetric scale is found so that the largest
        weight takes the last place of the grid, an asymmetric one so that both ends are taken.
    """
    zeros = np.asarray(zero_point).astype(np.int64)
    whole = values.astype(np.int64)
    # The middle of an unsigned grid of 7 bits is 64.
    middle = 0 if dtype == "s8" else 64 if (zeros == 64).all() and whole.max() <= 128 else 128
    symmetric = bool((zeros == middle).all())
    levels = 2 * int(np.abs(whole - middle).max()) + 1 if symmetric else int(whole.max() - whole.min()) + 1
    return Grid(
        dtype=dtype,
        granularity="per_channel" if scales > 1 else None if channels == 1 else "per_tensor",
        symmetric=symmetric,
        bits=round(math.log2(levels)),
    )


def dynamic_grid(dtype: str) -> Grid:
    """The grid of an activation whose one scale is found as the model runs."""
    return Grid(dtype=dtype, granularity="per_tensor", bits=8, dynamic=True)


def activation_grid(dtype: str, zero_point: int, bits: int | None = 8) -> Grid:
    """The grid of an activation with one scale."""
    return Grid(dtype=dtype, granularity="per_tensor", symmetric=zero_point == (128 if dtype == "u8" else 0), bits=bits)
