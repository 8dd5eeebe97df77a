"""Pooling, and means over spatial axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bitpick.conversion.pytorch_operators.registry import Context, operator, padded, spatial_pads

if TYPE_CHECKING:
    from torch import fx


@operator("MaxPool", "AveragePool")
def pool(context: Context) -> fx.Node:
    """`nn.MaxPool…` or `nn.AvgPool…` of one to three axes."""
    from torch import nn

    kernel = context.attribute("kernel_shape")
    rank = len(kernel)
    strides = context.attribute("strides", [1] * rank)
    dilations = context.attribute("dilations", [1] * rank)
    pads = spatial_pads(context, kernel, strides, dilations)
    ceil = bool(context.attribute("ceil_mode", 0))
    if ceil and any(before != after for before, after in pads):
        raise context.unsupported("ceil_mode with uneven padding")
    kind: Any
    if context.node.op_type == "MaxPool":
        x, sides = padded(context, pads, float("-inf"))
        kind = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[rank - 1]
        return context.module(kind(tuple(kernel), tuple(strides), sides, tuple(dilations), ceil_mode=ceil), x)
    counted = bool(context.attribute("count_include_pad", 0))
    if any(d != 1 for d in dilations) or (any(a != b for a, b in pads) and not counted):
        raise context.unsupported("dilations, or uneven padding that is not counted")
    x, sides = padded(context, pads, 0.0)
    kind = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)[rank - 1]
    return context.module(kind(tuple(kernel), tuple(strides), sides, ceil, counted), x)


@operator("GlobalAveragePool", "GlobalMaxPool")
def global_pool(context: Context) -> fx.Node:
    """Adaptive pooling to one element a channel."""
    from torch import nn

    rank = len(context.shape(0)) - 2
    kinds = {
        "GlobalAveragePool": (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
        "GlobalMaxPool": (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
    }
    return context.module(kinds[context.node.op_type][rank - 1](1))


@operator("ReduceMean")
def reduce_mean(context: Context) -> fx.Node:
    """`torch.mean` over given axes: an attribute before opset 18, an input since."""
    import torch

    axes = [int(a) for a in context.constant(1, "axes")] if context.has(1) else context.attribute("axes")
    if not axes:
        raise context.unsupported("no axes")
    return context.call(torch.mean, context.value(0), tuple(axes), keepdim=bool(context.attribute("keepdims", 1)))
