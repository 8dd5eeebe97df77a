"""Padding for convolutions and pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bitpick.conversion.pytorch_operators.context import Context

if TYPE_CHECKING:
    from torch import fx

Pads = list[tuple[int, int]]


def spatial_pads(context: Context, kernel: list[int], strides: list[int], dilations: list[int]) -> Pads:
    """Return the padding before and after each spatial axis, also if it is stated as `auto_pad`."""
    mode = context.attribute("auto_pad", "NOTSET")
    rank = len(kernel)
    if mode in ("NOTSET", "VALID"):
        pads = context.attribute("pads", [0] * 2 * rank) if mode == "NOTSET" else [0] * 2 * rank
        return list(zip(pads[:rank], pads[rank:], strict=True))
    same_pads = []
    for size, k, stride, dilation in zip(context.fixed_shape(0, 2), kernel, strides, dilations, strict=True):
        total = max((-(-size // stride) - 1) * stride + (k - 1) * dilation + 1 - size, 0)
        small, large = total // 2, total - total // 2
        same_pads.append((small, large) if mode == "SAME_UPPER" else (large, small))
    return same_pads


def padded(context: Context, pads: Pads, value: float) -> tuple[fx.Node, tuple[int, ...]]:
    """Return the first input, padded by a separate module if the two sides of an axis differ.

    Args:
        context: the node.
        pads: the padding before and after each spatial axis.
        value: the value to pad with.

    Returns:
        The node, and the padding of both sides of each axis that is left to the operator itself.
    """
    if all(before == after for before, after in pads):
        return context.value(0), tuple(before for before, _ in pads)
    return pad_module(context, context.value(0), pads, value), (0,) * len(pads)


def pad_module(context: Context, x: fx.Node, pads: Pads, value: float) -> fx.Node:
    """Add a padding module for the spatial axes; negative padding cuts off."""
    from torch import nn

    x, pads = trimmed(context, x, pads, first=2)
    if all(pair == (0, 0) for pair in pads):
        return x
    module = (nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d)[len(pads) - 1]
    flat: Any = tuple(side for pair in reversed(pads) for side in pair)  # PyTorch counts from the last axis
    return context.module(module(flat, value), x, suffix="_pad")


def trimmed(context: Context, x: fx.Node, pads: Pads, first: int = 0) -> tuple[fx.Node, Pads]:
    """Apply negative padding as a slice, which every runtime supports.

    Args:
        context: the node.
        x: the tensor to pad.
        pads: the padding before and after each axis.
        first: the axis of the first pair.

    Returns:
        The sliced node, and the remaining padding.
    """
    if all(side >= 0 for pair in pads for side in pair):
        return x, pads
    kept = (slice(-before if before < 0 else None, after if after < 0 else None) for before, after in pads)
    remaining = [(max(before, 0), max(after, 0)) for before, after in pads]
    return context.item(x, (*[slice(None)] * first, *kept)), remaining
