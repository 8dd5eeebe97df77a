"""Activations, softmax among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitpick.conversion.pytorch_operators.registry import Context, operator, parameter

if TYPE_CHECKING:
    from torch import fx


@operator("Relu", "Sigmoid", "Tanh", "HardSwish", "Softplus", "Mish")
def plain(context: Context) -> fx.Node:
    """An activation without parameters."""
    from torch import nn

    modules = {
        "Relu": nn.ReLU,
        "Sigmoid": nn.Sigmoid,
        "Tanh": nn.Tanh,
        "HardSwish": nn.Hardswish,
        "Softplus": nn.Softplus,
        "Mish": nn.Mish,
    }
    return context.module(modules[context.node.op_type]())


@operator("LeakyRelu")
def leaky_relu(context: Context) -> fx.Node:
    """`nn.LeakyReLU`."""
    from torch import nn

    return context.module(nn.LeakyReLU(context.attribute("alpha", 0.01)))


@operator("Elu")
def elu(context: Context) -> fx.Node:
    """`nn.ELU`."""
    from torch import nn

    return context.module(nn.ELU(context.attribute("alpha", 1.0)))


@operator("HardSigmoid")
def hard_sigmoid(context: Context) -> fx.Node:
    """`nn.Hardsigmoid`, whose slope is 1/6."""
    from torch import nn

    slope, offset = context.attribute("alpha", 0.2), context.attribute("beta", 0.5)
    if abs(slope - 1 / 6) > 1e-6 or abs(offset - 0.5) > 1e-6:
        raise context.unsupported(f"a slope of {slope:g} and an offset of {offset:g}")
    return context.module(nn.Hardsigmoid())


@operator("PRelu")
def prelu(context: Context) -> fx.Node:
    """`nn.PReLU` with one slope, or one a channel."""
    from torch import nn

    slope = context.constant(1, "slope")
    shape = context.shape(0)
    # Broadcast from the right, as ONNX does: one slope a channel has all other axes of size 1.
    aligned = [1] * (len(shape) - slope.ndim) + list(slope.shape)
    if slope.size > 1 and aligned != [shape[1] if axis == 1 else 1 for axis in range(len(shape))]:
        raise context.unsupported(f"slopes of shape {slope.shape} for inputs of shape {shape}")
    slope = slope.reshape(-1)
    module = nn.PReLU(len(slope))
    module.weight = parameter(slope)
    return context.module(module)


@operator("Clip")
def clip(context: Context) -> fx.Node:
    """`nn.ReLU6` or `nn.ReLU` where the bounds are theirs, else `torch.clamp`."""
    import torch
    from torch import nn

    low = float(context.constant(1, "minimum")) if context.has(1) else None
    high = float(context.constant(2, "maximum")) if context.has(2) else None
    if low is None and high is None:
        return context.value(0)
    if low == 0.0 and high in (6.0, None):
        return context.module(nn.ReLU6() if high else nn.ReLU())
    return context.call(torch.clamp, context.value(0), low, high)


@operator("Softmax", "LogSoftmax")
def softmax(context: Context) -> fx.Node:
    """`nn.Softmax` or `nn.LogSoftmax`, along one axis as since opset 13."""
    from torch import nn

    module = nn.Softmax if context.node.op_type == "Softmax" else nn.LogSoftmax
    return context.module(module(dim=context.attribute("axis", -1)))
