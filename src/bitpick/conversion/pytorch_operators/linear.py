"""Gemm and MatMul."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bitpick.conversion.pytorch_operators.registry import Context, operator, parameter

if TYPE_CHECKING:
    from torch import fx


@operator("Gemm")
def gemm(context: Context) -> fx.Node:
    """`nn.Linear`, where the weight is stored and the input is not transposed."""
    from torch import nn

    if context.attribute("transA", 0):
        raise context.unsupported("a transposed first input")
    weight = context.constant(1, "weight")
    weight = (weight if context.attribute("transB", 0) else weight.T) * np.float32(context.attribute("alpha", 1.0))
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=context.has(2))
    linear.weight = parameter(weight)
    if context.has(2):
        bias = context.constant(2, "bias") * np.float32(context.attribute("beta", 1.0))
        if bias.ndim > 1 and bias.shape[0] != 1:
            raise context.unsupported(f"a bias of shape {bias.shape}, one a sample")
        linear.bias = parameter(np.broadcast_to(bias.reshape(-1), (weight.shape[0],)))
    return context.module(linear)


@operator("MatMul")
def matmul(context: Context) -> fx.Node:
    """`nn.Linear` where the second factor is a stored matrix, else `torch.matmul`."""
    import torch
    from torch import nn

    if context.is_constant(1) and len(context.shape(1)) == 2:
        weight = context.constant(1, "weight").T
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        linear.weight = parameter(weight)
        return context.module(linear)
    return context.call(torch.matmul, context.value(0), context.value(1))
