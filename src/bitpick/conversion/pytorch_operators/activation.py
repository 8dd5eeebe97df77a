"""Activations, including softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitpick.conversion.pytorch_operators.context import Context, parameter
from bitpick.conversion.pytorch_operators.registry import operator

if TYPE_CHECKING:
    from torch import fx


@operator("Relu", "Sigmoid", "Tanh", "HardSwish", "Softplus", "Softsign", "Mish")
def plain(context: Context) -> fx.Node:
    """The module of the same name, such as `nn.ReLU`."""
    from torch import nn

    name = {"Relu": "ReLU", "HardSwish": "Hardswish"}.get(context.kind, context.kind)
    return context.module(getattr(nn, name)())


@operator("LeakyRelu")
def leaky_relu(context: Context) -> fx.Node:
    """`nn.LeakyReLU`."""
    from torch import nn

    return context.module(nn.LeakyReLU(context.attribute("alpha", 0.01)))


@operator("Elu", "Celu")
def elu(context: Context) -> fx.Node:
    """`nn.ELU` or `nn.CELU`."""
    from torch import nn

    return context.module((nn.ELU if context.kind == "Elu" else nn.CELU)(context.attribute("alpha", 1.0)))


@operator("Selu")
def selu(context: Context) -> fx.Node:
    """`nn.SELU`, or `nn.ELU` times a factor for other constants."""
    import torch
    from torch import nn

    alpha = context.attribute("alpha", 1.6732632423543772)
    gamma = context.attribute("gamma", 1.0507009873554805)
    if abs(alpha - 1.6732632423543772) < 1e-6 and abs(gamma - 1.0507009873554805) < 1e-6:
        return context.module(nn.SELU())
    return context.call(torch.mul, context.module(nn.ELU(alpha)), gamma)


@operator("Gelu")
def gelu(context: Context) -> fx.Node:
    """`nn.GELU`, exact or approximated by tanh."""
    from torch import nn

    return context.module(nn.GELU(approximate=context.attribute("approximate", "none")))


@operator("HardSigmoid")
def hard_sigmoid(context: Context) -> fx.Node:
    """`nn.Hardsigmoid` if the slope is 1/6, else a scaled and shifted `nn.Hardtanh`."""
    import torch
    from torch import nn

    slope, offset = context.attribute("alpha", 0.2), context.attribute("beta", 0.5)
    if abs(slope - 1 / 6) < 1e-6 and abs(offset - 0.5) < 1e-6:
        return context.module(nn.Hardsigmoid())
    line = context.call(torch.add, context.call(torch.mul, context.value(0), slope), offset)
    return context.module(nn.Hardtanh(0.0, 1.0), line)


@operator("ThresholdedRelu")
def thresholded_relu(context: Context) -> fx.Node:
    """`nn.Threshold`."""
    from torch import nn

    return context.module(nn.Threshold(context.attribute("alpha", 1.0), 0.0))


@operator("PRelu")
def prelu(context: Context) -> fx.Node:
    """`nn.PReLU` with one slope, or one per channel; `torch.where` for other or computed slopes."""
    import torch
    from torch import nn

    if context.is_stored(1) and context.rank(0) > 1:
        slope = context.stored(1, "slope")
        shape = context.shape(0)
        # Broadcast from the right, as ONNX does: with one slope per channel, all other axes have size 1.
        aligned = [1] * (len(shape) - slope.ndim) + list(slope.shape)
        if slope.size == 1 or aligned == [shape[1] if axis == 1 else 1 for axis in range(len(shape))]:
            module = nn.PReLU(slope.size)
            module.weight = parameter(slope.reshape(-1))
            return context.module(module)
    x = context.value(0)
    return context.call(torch.where, context.call(torch.lt, x, 0), context.call(torch.mul, x, context.value(1)), x)


@operator("Clip")
def clip(context: Context) -> fx.Node:
    """`nn.ReLU6` or `nn.ReLU` if the bounds match, else `torch.clamp`; bounds may be computed."""
    import torch
    from torch import nn

    x, bounds = context.value(0), [i for i in (1, 2) if context.has(i)]
    if not all(context.is_stored(i) for i in bounds):
        for i in bounds:
            x = context.call((torch.maximum, torch.minimum)[i - 1], x, context.value(i))
        return x
    low, high = (context.stored(i, "bound").item() if context.has(i) else None for i in (1, 2))
    if low is None and high is None:
        return x
    if low == 0.0 and high in (6.0, None) and context.dtype(0).is_floating_point:
        return context.module(nn.ReLU6() if high else nn.ReLU())
    return context.call(torch.clamp, x, low, high)


@operator("Softmax", "LogSoftmax")
def softmax(context: Context) -> fx.Node:
    """`nn.Softmax` or `nn.LogSoftmax` along one axis, as in opset 13 and later."""
    from torch import nn

    module = nn.Softmax if context.kind == "Softmax" else nn.LogSoftmax
    return context.module(module(dim=context.attribute("axis", -1)))


@operator("Shrink")
def shrink(context: Context) -> fx.Node:
    """`nn.Hardshrink` or `nn.Softshrink`, else `torch.where` with a shifted input.

    Limits: integers.

    Raises:
        OperatorError: the input holds integers.
    """
    import torch
    from torch import nn

    limit, bias = context.attribute("lambd", 0.5), context.attribute("bias", 0.0)
    if not context.dtype(0).is_floating_point:
        raise context.unsupported("integers")
    if bias == 0:
        return context.module(nn.Hardshrink(limit))
    if bias == limit:
        return context.module(nn.Softshrink(limit))
    x = context.value(0)
    beyond = context.call(torch.gt, context.call(torch.abs, x), limit)
    shifted = context.call(torch.sub, x, context.call(torch.mul, context.call(torch.sign, x), bias))
    return context.call(torch.where, beyond, shifted, 0.0)
