"""Convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bitpick.conversion.pytorch_operators.context import Context, parameter
from bitpick.conversion.pytorch_operators.padding import Pads, pad_module, padded, spatial_pads
from bitpick.conversion.pytorch_operators.registry import operator

if TYPE_CHECKING:
    from torch import fx, nn


@operator("Conv")
def convolution(context: Context) -> fx.Node:
    """`nn.Conv1d`, `nn.Conv2d` or `nn.Conv3d`, after a zero padding module if the padding is uneven.

    Limits: computed weights; more than three spatial axes.
    """
    weight = context.stored(1, "weight")
    pads = spatial_pads(context, list(weight.shape[2:]), *_steps(context))
    x, sides = padded(context, pads, 0.0)
    channels = weight.shape[1] * context.attribute("group", 1), weight.shape[0]
    return context.module(_module(context, "Conv", channels, padding=sides), x)


@operator("ConvTranspose")
def transposed_convolution(context: Context) -> fx.Node:
    """`nn.ConvTranspose1d`, `nn.ConvTranspose2d` or `nn.ConvTranspose3d`, then a slice if the padding is uneven.

    Limits: computed weights; more than three spatial axes; an `output_shape` larger than the full output.
    """
    weight = context.stored(1, "weight")
    pads, extra = _transposed_pads(context)
    if all(added <= after for (_, after), added in zip(pads, extra, strict=True)):
        # Cut off less instead, which is equivalent: LiteRT's converter does not support output padding.
        pads = [(before, after - added) for (before, after), added in zip(pads, extra, strict=True)]
        extra = [0] * len(extra)
    sides = [max(min(pair), 0) for pair in pads]
    channels = weight.shape[0], weight.shape[1] * context.attribute("group", 1)
    module = _module(context, "ConvTranspose", channels, padding=tuple(sides), output_padding=tuple(extra))
    cut = [(side - before, side - after) for (before, after), side in zip(pads, sides, strict=True)]
    result = context.module(module)
    return pad_module(context, result, cut, 0.0) if any(pair != (0, 0) for pair in cut) else result


def _steps(context: Context) -> tuple[list[int], list[int]]:
    """Return strides and dilations."""
    ones = [1] * (context.rank(1) - 2)
    return context.attribute("strides", ones), context.attribute("dilations", ones)


def _module(context: Context, kind: str, channels: tuple[int, int], **options: Any) -> nn.Module:
    from torch import nn

    weight = context.stored(1, "weight")
    rank = weight.ndim - 2
    if not 1 <= rank <= 3:
        raise context.unsupported(f"{rank} spatial axes")
    strides, dilations = _steps(context)
    module: Any = getattr(nn, f"{kind}{rank}d")(
        *channels,
        tuple(weight.shape[2:]),
        stride=tuple(strides),
        dilation=tuple(dilations),
        groups=context.attribute("group", 1),
        bias=context.has(2),
        **options,
    )
    module.weight = parameter(weight)
    if context.has(2):
        module.bias = parameter(context.stored(2, "bias"))
    return module  # type: ignore[no-any-return]


def _transposed_pads(context: Context) -> tuple[Pads, list[int]]:
    """Return how much to cut off before and after each spatial axis, and the output padding to add first."""
    kernel = list(context.stored(1, "weight").shape[2:])
    rank = len(kernel)
    strides, dilations = _steps(context)
    extra = list(context.attribute("output_padding", [0] * rank))
    mode, output_shape = context.attribute("auto_pad", "NOTSET"), context.attribute("output_shape")
    if output_shape is None and not mode.startswith("SAME"):
        pads = context.attribute("pads", [0] * 2 * rank) if mode == "NOTSET" else [0] * 2 * rank
        return list(zip(pads[:rank], pads[rank:], strict=True)), extra
    sizes = context.fixed_shape(0, 2)
    cuts: Pads = []
    for i, size in enumerate(sizes):
        full = strides[i] * (size - 1) + extra[i] + (kernel[i] - 1) * dilations[i] + 1
        total = full - (output_shape[-rank:][i] if output_shape is not None else size * strides[i])
        if total < 0:
            raise context.unsupported(f"an output that is {-total} larger than its own")
        small, large = total // 2, total - total // 2
        cuts.append((small, large) if mode == "SAME_UPPER" else (large, small))
    return cuts, extra
