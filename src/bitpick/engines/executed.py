"""The executed graph: what a runtime really runs, read from the runtime's own graph."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitpick.schema.fingerprint import Grid

BITS = {"s4": 4, "s8": 8, "u8": 8, "s16": 16}
INTEGERS = frozenset(BITS)
FLOATS = frozenset({"float32", "float16", "bfloat16"})


FLOAT32 = Grid(dtype="float32")


@dataclass(frozen=True)
class Operator:
    """An operator that the runtime executes. `counting` defines what counts as a weight and as work.

    Attributes:
        name: its name in the executed graph, or in the graph that the runtime compiled.
        kind: the operator's type, as the runtime calls it.
        arithmetic: the dtype of its products or, if it multiplies nothing, of its data: one of `Grid.dtype`.
        weight: the grid in which its weights are stored; None if it has no weights.
        activation: the grid of the data that its weights are multiplied with; None if the weights are a lookup table.
        weights: number of its weights; 0 if an earlier operator shares them and has counted them.
        macs: multiply-accumulates for one sample.
        layers: other names by which a recipe may refer to it.
        uncounted: whether it has weights or products that could not be counted; `weights` and `macs` then hold what
            was counted.
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
        """Whether it computes with its weights rather than looking up rows of them."""
        return self.weight is not None and self.activation is not None

    @property
    def integer(self) -> bool:
        """Whether it computes in integers."""
        return self.arithmetic in INTEGERS


@dataclass(frozen=True)
class Executed:
    """The graph that a runtime executes.

    Attributes:
        operators: the operators in the runtime's order, without those that only convert number formats, move data, or
            compute shapes.
        input: dtype of the build's input.
        output: dtype of the build's output.
        conversions: type and name of each operator that only converts number formats.
        transposes: type and name of each operator that only reorders data in memory.
    """

    operators: tuple[Operator, ...]
    input: str = "float32"
    output: str = "float32"
    conversions: tuple[str, ...] = ()
    transposes: tuple[str, ...] = ()


def weight_grid(
    values: NDArray[np.integer], zero_point: ArrayLike, scales: int, dtype: str, channels: int | None = None
) -> Grid:
    """Return the grid of stored integer weights.

    Args:
        values: the stored integers.
        zero_point: one zero point, or one for each channel.
        scales: number of scales.
        dtype: `s4`, `s8` or `u8`.
        channels: number of output channels; None if unknown. With one channel the granularity is None, because
            per-channel and per-tensor scales are then the same.

    Returns:
        The grid. Its bits are derived from the range of the stored integers: a symmetric scale maps the largest weight
        to the end of the grid, an asymmetric one maps the extremes to both ends.
    """
    zeros = np.asarray(zero_point).astype(np.int64)
    integers = values.astype(np.int64)
    # The middle of an unsigned grid of 7 bits is 64.
    middle = 0 if dtype != "u8" else 64 if (zeros == 64).all() and integers.max() <= 128 else 128
    symmetric = bool((zeros == middle).all())
    levels = 2 * int(np.abs(integers - middle).max()) + 1 if symmetric else int(integers.max() - integers.min()) + 1
    return Grid(
        dtype=dtype,
        granularity="per_channel" if scales > 1 else None if channels == 1 else "per_tensor",
        symmetric=symmetric,
        bits=round(math.log2(levels)),
    )


def dynamic_grid(dtype: str) -> Grid:
    """Return the grid of an activation whose single scale is computed at run time."""
    return Grid(dtype=dtype, granularity="per_tensor", bits=8, dynamic=True)


def activation_grid(dtype: str, zero_point: int, bits: int | None = 8) -> Grid:
    """Return the grid of an activation with one scale."""
    return Grid(dtype=dtype, granularity="per_tensor", symmetric=zero_point == (128 if dtype == "u8" else 0), bits=bits)
