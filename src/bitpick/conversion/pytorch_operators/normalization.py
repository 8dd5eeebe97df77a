"""Normalization that could not be folded into a convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitpick.conversion.pytorch_operators.registry import Context, operator, parameter

if TYPE_CHECKING:
    from torch import fx


@operator("BatchNormalization")
def batch_normalization(context: Context) -> fx.Node:
    """`nn.BatchNorm…` in inference form."""
    import torch
    from torch import nn

    if context.attribute("training_mode", 0):
        raise context.unsupported("training mode")
    scale, shift, mean, variance = (context.constant(i, "statistic") for i in range(1, 5))
    rank = len(context.shape(0)) - 2
    kind = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[rank]
    norm = kind(len(scale), eps=context.attribute("epsilon", 1e-5))
    norm.weight, norm.bias = parameter(scale), parameter(shift)
    norm.running_mean, norm.running_var = torch.from_numpy(mean.copy()), torch.from_numpy(variance.copy())
    return context.module(norm.eval())
