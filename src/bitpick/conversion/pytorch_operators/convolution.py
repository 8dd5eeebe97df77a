"""Conv."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bitpick.conversion.pytorch_operators.registry import Context, operator, padded, parameter, spatial_pads

if TYPE_CHECKING:
    from torch import fx


@operator("Conv")
def convolution(context: Context) -> fx.Node:
    """`nn.Conv1d`, `nn.Conv2d` or `nn.Conv3d`, behind a zero padding of its own where the sides differ."""
    from torch import nn

    weight = context.constant(1, "weight")
    rank = weight.ndim - 2
    if not 1 <= rank <= 3:
        raise context.unsupported(f"{rank} spatial axes")
    groups = context.attribute("group", 1)
    strides = context.attribute("strides", [1] * rank)
    dilations = context.attribute("dilations", [1] * rank)
    pads = spatial_pads(context, list(weight.shape[2:]), strides, dilations)
    x, sides = padded(context, pads, 0.0)
    kind: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
    convolution = kind(
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        stride=tuple(strides),
        padding=sides,
        dilation=tuple(dilations),
        groups=groups,
        bias=context.has(2),
    )
    convolution.weight = parameter(weight)
    if context.has(2):
        convolution.bias = parameter(context.constant(2, "bias"))
    return context.module(convolution, x)
