"""Matrix products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion.pytorch_operators.context import Context, parameter
from bitpick.conversion.pytorch_operators.registry import operator

if TYPE_CHECKING:
    from torch import fx, nn


@operator("Gemm")
def gemm(context: Context) -> fx.Node:
    """`nn.Linear` if the second factor is stored, else `torch.matmul`; `torch.add` for a bias that is not a vector."""
    import torch

    x = context.value(0)
    if context.attribute("transA", 0):
        x = context.call(torch.t, x)
    alpha, beta = np.float32(context.attribute("alpha", 1.0)), np.float32(context.attribute("beta", 1.0))
    bias = None
    if context.is_stored(1):
        weight = context.stored(1, "weight")
        weight = weight if context.attribute("transB", 0) else weight.T
        bias = _vector(context, len(weight))
        result = context.module(_linear(weight * alpha, None if bias is None else bias * beta), x)
    else:
        factor = context.call(torch.t, context.value(1)) if context.attribute("transB", 0) else context.value(1)
        result = context.call(torch.matmul, x, factor)
        result = result if alpha == 1 else context.call(torch.mul, result, float(alpha))
    if bias is not None or not context.has(2):
        return result
    addend = context.value(2) if beta == 1 else context.call(torch.mul, context.value(2), float(beta))
    return context.call(torch.add, result, addend)


def _vector(context: Context, size: int) -> NDArray[Any] | None:
    """Return the bias of a Gemm if it is stored and the same for each row, else None."""
    if not context.has(2) or not context.is_stored(2):
        return None
    bias = context.stored(2, "bias")
    if bias.ndim > 1 and bias.shape[0] != 1:
        return None
    return np.broadcast_to(bias.reshape(-1), (size,))


@operator("MatMul")
def matmul(context: Context) -> fx.Node:
    """`nn.Linear` if the second factor is a stored matrix, with the bias of the next Add; else `torch.matmul`."""
    import torch

    if context.is_stored(1) and context.rank(1) == 2:
        weight = context.stored(1, "weight").T
        return context.module(_linear(weight, context.absorb_bias(len(weight))))
    return context.call(torch.matmul, context.value(0), context.value(1))


@operator("Einsum")
def einsum(context: Context) -> fx.Node:
    """`torch.einsum`."""
    import torch

    equation = context.attribute("equation").replace(" ", "")
    return context.call(torch.einsum, equation, *(context.value(i) for i in range(len(context.inputs))))


def _linear(weight: NDArray[Any], bias: NDArray[Any] | None) -> nn.Module:
    from torch import nn

    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.weight = parameter(weight)
    if bias is not None:
        linear.bias = parameter(bias)
    return linear
