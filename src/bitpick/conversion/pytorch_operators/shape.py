"""Operators that move elements and change none."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bitpick.conversion.pytorch_operators.registry import Context, operator

if TYPE_CHECKING:
    from torch import fx


@operator("Identity", "Dropout")
def identity(context: Context) -> fx.Node:
    """The input itself; dropout does nothing in inference."""
    return context.value(0)


@operator("Reshape")
def reshape(context: Context) -> fx.Node:
    """`torch.flatten` where only the batch axis stays, else `torch.reshape`; the batch stays free."""
    import torch

    shape = context.shape(0)
    target = [int(size) for size in context.constant(1, "shape")]
    if context.attribute("allowzero", 0):
        raise context.unsupported("allowzero")
    target = [shape[i] if size == 0 and shape[i] is not None else size for i, size in enumerate(target)]  # type: ignore[misc]
    rest = shape[1:]
    known = math.prod(size for size in rest if size is not None) if None not in rest else None
    if target[0] in (0, -1) or shape[0] is None:
        if len(target) == 2 and known is not None and target[1] in (known, -1):
            return context.call(torch.flatten, context.value(0), 1)
        if target[0] > 0:
            raise context.unsupported(f"the fixed batch {target[0]}")
        if -1 in target[1:]:
            if known is None:
                raise context.unsupported("two unknown sizes")
            others = math.prod(size for size in target[1:] if size != -1)
            target = [known // others if size == -1 else size for size in target]
        target[0] = -1
    return context.call(torch.reshape, context.value(0), tuple(target))


@operator("Flatten")
def flatten(context: Context) -> fx.Node:
    """`torch.flatten` from the second axis."""
    import torch

    if context.attribute("axis", 1) != 1:
        raise context.unsupported(f"axis {context.attribute('axis')}")
    return context.call(torch.flatten, context.value(0), 1)


@operator("Transpose")
def transpose(context: Context) -> fx.Node:
    """`torch.permute`."""
    import torch

    order = context.attribute("perm", list(reversed(range(len(context.shape(0))))))
    return context.call(torch.permute, context.value(0), tuple(order))


@operator("Squeeze")
def squeeze(context: Context) -> fx.Node:
    """`torch.squeeze` of given axes."""
    import torch

    axes = [int(a) for a in context.constant(1, "axes")] if context.has(1) else None
    if axes is None:
        raise context.unsupported("no axes")
    return context.call(torch.squeeze, context.value(0), tuple(axes))


@operator("Unsqueeze")
def unsqueeze(context: Context) -> fx.Node:
    """`torch.unsqueeze` of one axis."""
    import torch

    axes = [int(a) for a in context.constant(1, "axes")]
    if len(axes) != 1:
        raise context.unsupported(f"{len(axes)} axes")
    return context.call(torch.unsqueeze, context.value(0), axes[0])


@operator("Concat")
def concat(context: Context) -> fx.Node:
    """`torch.cat`."""
    import torch

    return context.call(torch.cat, [context.value(i) for i in range(len(context.inputs))], context.attribute("axis"))


@operator("Pad")
def pad(context: Context) -> fx.Node:
    """`torch.nn.functional.pad`, constant or by reflection or repetition."""
    import torch

    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}.get(
        context.attribute("mode", "constant")
    )
    if mode is None or context.has(3):
        raise context.unsupported(f"the mode {context.attribute('mode')}, or given axes")
    pads = [int(p) for p in context.constant(1, "pads")]
    rank = len(pads) // 2
    pairs = [(pads[i], pads[rank + i]) for i in range(rank)]
    if mode != "constant":  # PyTorch pads all spatial axes this way, and those alone
        if any(pair != (0, 0) for pair in pairs[:2]) or not 3 <= rank <= 5:
            raise context.unsupported(f"the mode {context.attribute('mode')} on other than spatial axes")
        pairs = pairs[2:]
    flat = tuple(side for pair in reversed(pairs) for side in pair)
    value = float(context.constant(2, "value")) if mode == "constant" and context.has(2) else 0.0
    return context.call(torch.nn.functional.pad, context.value(0), flat, mode, value)
