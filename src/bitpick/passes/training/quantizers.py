"""Simulated quantization: values are rounded to an integer grid; gradients pass as if nothing were rounded.

The step of weights is learned, see S. K. Esser, J. L. McKinstry, D. Bablani, R. Appuswamy, D. S. Modha, "Learned step
size quantization", 2020. `torch.fake_quantize_per_tensor_affine` does the same for activations, but is ten times as
slow on a CPU.
"""

from __future__ import annotations

import math
from typing import Any, Literal, cast

import torch
from torch import nn

Mode = Literal["off", "watch", "on"]
"""Activations are not quantized, not quantized but their range is noted, or quantized."""
_LEVELS = 255  # activations have 8 bits
_RANGE_MOMENTUM = 0.02  # the range is that of the last fifty batches
_SMALLEST = 1e-12
_WIDEST = 1e4  # a tensor with a wider range holds masks, and engines leave it in float
_SHARES = [0.3 + 0.01 * place for place in range(71)]  # of the largest weight: candidates for the end of the grid


class _OnGrid(torch.autograd.Function):
    """Weights rounded to multiples of a step for each channel, with the gradients of both."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, step: torch.Tensor, levels: int, lopsided: bool) -> torch.Tensor:
        ratio = weight / step
        multiple = ratio.round().clamp_(-levels, levels)
        if lopsided:
            axes = tuple(range(1, weight.ndim))
            upwards = weight.amax(axes, keepdim=True) > -weight.amin(axes, keepdim=True)
            multiple = torch.where(upwards, multiple.clamp(min=1 - levels), multiple.clamp(max=levels - 1))
        ctx.save_for_backward(ratio, multiple)
        ctx.levels = levels
        return multiple * step

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        ratio, multiple = ctx.saved_tensors
        inside = ratio.abs() <= ctx.levels
        slope = torch.where(inside, multiple - ratio, multiple)
        axes = tuple(range(1, ratio.ndim))
        # Esser et al., section 2.2: with this factor, steps and weights move at like rates.
        of_step = (gradient * slope).sum(axes, keepdim=True) / math.sqrt(ratio[0].numel() * ctx.levels)
        return gradient * inside, of_step, None, None


def on_grid(weight: torch.Tensor, step: torch.Tensor, levels: int, lopsided: bool = False) -> torch.Tensor:
    """Round weights to a grid.

    Args:
        weight: the weights, of shape (channels, …).
        step: the step of each channel, of shape (channels, 1, …).
        levels: the largest multiple of the step.
        lopsided: whether it is one less on the side without the largest weight, see `WeightGrid`.
    """
    return cast("torch.Tensor", _OnGrid.apply(weight, step, levels, lopsided))  # type: ignore[no-untyped-call]


def least_error_step(weight: torch.Tensor, levels: int) -> torch.Tensor:
    """Return the step of each channel with the least squared error, of shape (channels, 1, …)."""
    rows = weight.flatten(1)
    largest = rows.abs().amax(1, keepdim=True).clamp_min(_SMALLEST)
    best, least = largest / levels, torch.full_like(largest, math.inf)
    for share in _SHARES:
        step = largest * (share / levels)
        error = (on_grid(rows, step, levels) - rows).square().sum(1, keepdim=True)
        best, least = torch.where(error < least, step, best), torch.minimum(error, least)
    return best.reshape(-1, *[1] * (weight.ndim - 1))


def reaching_end(weight: torch.Tensor, step: torch.Tensor, levels: int) -> torch.Tensor:
    """Return the steps, smaller where a channel's largest weight would not lie on the end of the grid.

    Engines scale each channel by its largest weight, so they find the grid again only if that is its end.
    """
    largest = weight.detach().flatten(1).abs().amax(1).reshape(step.shape)
    return torch.minimum(step.abs(), largest / (levels - 0.45)).clamp_min(_SMALLEST)


class _Rounded(torch.autograd.Function):
    """Activations rounded to a grid, after a ReLU if `positive`."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, step: float, low: int, positive: bool) -> torch.Tensor:
        rounded = (values * (1 / step)).round_().clamp_(low, low + _LEVELS).mul_(step)
        ctx.positive = positive
        if positive:
            ctx.save_for_backward(rounded)
        return rounded

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        # The range is that of whole batches, so hardly a value is clipped; no mask of them is worth its memory.
        if ctx.positive:
            gradient = torch.ops.aten.threshold_backward(gradient, ctx.saved_tensors[0], 0)
        return gradient, None, None, None


class Activation(nn.Module):
    """A tensor with 8 bits whose range follows that of the batches.

    Args:
        positive: whether it also does the work of a ReLU before it.
    """

    extent: torch.Tensor

    def __init__(self, positive: bool) -> None:
        super().__init__()
        self.positive = positive
        self.mode: Mode = "off"
        self.register_buffer("extent", torch.full((2,), math.nan, dtype=torch.float64))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values, rounded if the mode is `on` and they are no masks."""
        plain = self.mode == "off" or not values.is_floating_point()
        if not plain and (self.training or self.mode == "watch"):
            self._note(values.detach())
        if plain or self.mode == "watch":
            return values.relu() if self.positive else values
        low, high = self.extent.tolist()
        if not high - low <= _WIDEST:
            return values.relu() if self.positive else values
        step = max((high - low) / _LEVELS, _SMALLEST)
        return cast("torch.Tensor", _Rounded.apply(values, step, round(low / step), self.positive))  # type: ignore[no-untyped-call]

    def _note(self, values: torch.Tensor) -> None:
        """Take a batch into the range: widen it if the mode is `watch`, else let it move."""
        low = 0.0 if self.positive else min(0.0, float(values.amin()))
        seen = torch.tensor([low, max(0.0, float(values.amax()))], dtype=torch.float64, device=self.extent.device)
        if self.extent.isnan().any():
            self.extent.copy_(seen)
        elif self.mode == "watch":
            self.extent.copy_(torch.stack([torch.minimum(self.extent, seen)[0], torch.maximum(self.extent, seen)[1]]))
        else:
            self.extent.lerp_(seen, _RANGE_MOMENTUM)
