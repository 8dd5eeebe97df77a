"""The grid of values that an engine's quantizer gives weights, for passes that round weights to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

_NAME = re.compile(
    r"(?P<levels>\d+)_per_(?P<granularity>channel|tensor)(?P<lopsided>_lopsided)?(?P<clipped>_clipped)?"
    r"(_convolutions_(?P<convolutions>\d+))?(_depthwise_(?P<depthwise>\d+))?(_mix_(?P<mix>[0-9a-f]+))?"
)
_FRACTIONS = np.linspace(0.3, 1.0, 71)  # of the largest weight: candidates for the end of a clipped grid


@dataclass(frozen=True)
class WeightGrid:
    """A symmetric grid: whole multiples of a scale, from `-levels` to `levels`.

    Engines scale by the largest weight. A rounded weight tensor in which the largest weight lies on the end of the grid
    therefore gets the same grid again from every engine with this number of levels.

    Attributes:
        levels: the largest multiple: 127 for 8 bits, 64 for a reduced range, 7 for 4 bits.
        per_channel: whether each output channel has a scale of its own.
        clipped: whether the grid ends where the squared error is least, and not at the largest weight.
        lopsided: whether each channel's grid reaches `levels` on the side of its largest weight, and one less on the
            other: all values of a two's complement, whose scale may be negative. Only with a scale for each channel.
        convolutions: the largest multiple in convolutions, whose grid is not clipped, if it is another one.
        depthwise: the same for depthwise convolutions alone.
        mix: the digest of a recipe's patterns, if these give single layers another grid or leave them in float.
        layers: the grids of these layers by the name of the node; None for a layer that stays in float. They are no
            part of the grid's name.
    """

    levels: int
    per_channel: bool
    clipped: bool = False
    lopsided: bool = False
    convolutions: int | None = None
    depthwise: int | None = None
    mix: str = ""
    layers: Mapping[str, WeightGrid | None] = field(default_factory=dict)

    def of(self, name: str, is_convolution: bool, is_depthwise: bool) -> WeightGrid | None:
        """Return the grid of a layer; None if it stays in float."""
        if name in self.layers:
            own = self.layers[name]
            return None if own is None else own.of(name, is_convolution, is_depthwise)
        levels = self.convolutions if is_convolution else None
        levels = self.depthwise if is_depthwise and self.depthwise is not None else levels
        if levels is None:
            return WeightGrid(self.levels, self.per_channel, self.clipped, self.lopsided)
        return WeightGrid(levels, self.per_channel)

    def __str__(self) -> str:
        granularity = "channel" if self.per_channel else "tensor"
        others = (("convolutions", self.convolutions), ("depthwise", self.depthwise))
        other = "".join(f"_{layers}_{levels}" for layers, levels in others if levels is not None)
        lopsided, clipped = "_lopsided" if self.lopsided else "", "_clipped" if self.clipped else ""
        mix = f"_mix_{self.mix}" if self.mix else ""
        return f"{self.levels}_per_{granularity}{lopsided}{clipped}{other}{mix}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the grid with this name; the inverse of `str`."""
        match = _NAME.fullmatch(name)
        assert match is not None, name
        convolutions, depthwise = (
            int(match[layers]) if match[layers] else None for layers in ("convolutions", "depthwise")
        )
        return cls(
            int(match["levels"]),
            match["granularity"] == "channel",
            match["clipped"] is not None,
            match["lopsided"] is not None,
            convolutions,
            depthwise,
            match["mix"] or "",
        )

    def scales(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scale of each output channel, of shape (channels, 1).

        Args:
            rows: the weights, of shape (channels, weights of one channel).
        """
        grouped = rows if self.per_channel else rows.reshape(1, -1)
        largest = np.abs(grouped).max(axis=1, keepdims=True)
        scales = largest / self.levels
        if self.clipped:
            least = np.full_like(scales, np.inf)
            for fraction in _FRACTIONS:
                candidate = largest * fraction / self.levels
                error = ((self.nearest(grouped, candidate) - grouped) ** 2).sum(axis=1, keepdims=True)
                scales = np.where(error < least, candidate, scales)
                least = np.minimum(error, least)
        return np.broadcast_to(scales, (len(rows), 1))

    def ends(self, rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the lowest and the highest multiple of the scale in each channel, of shape (…, channels, 1).

        Args:
            rows: the weights, of shape (…, channels, weights of one channel).
        """
        lowest, highest = -rows.min(axis=-1, keepdims=True), rows.max(axis=-1, keepdims=True)
        less = self.levels - self.lopsided
        return np.where(lowest < highest, -less, -self.levels), np.where(lowest < highest, self.levels, less)

    def nearest(self, rows: NDArray[np.float64], scales: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the nearest value of the grid for each weight; a channel of zeros stays zero."""
        steps = np.round(rows / np.where(scales > 0, scales, 1))
        return np.asarray(np.clip(steps, *self.ends(rows)) * scales)
