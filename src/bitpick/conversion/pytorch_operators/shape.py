"""Operators that change shapes and move elements."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion.pytorch_operators.context import Context
from bitpick.conversion.pytorch_operators.registry import operator
from bitpick.conversion.pytorch_operators.sizes import Batch, Size, packed

if TYPE_CHECKING:
    from torch import fx


@operator("Identity", "Dropout")
def identity(context: Context) -> fx.Node:
    """The input itself; dropout does nothing in inference.

    Limits: the output `mask` of a dropout.
    """
    return context.value(0)


@operator("Shape", "Size")
def shape(context: Context) -> NDArray[Any]:
    """Known at import: numbers, and the batch where it is free.

    Limits: a size that is free beside the batch; a batch size that is added to, or computed with as a float.

    Raises:
        OperatorError: an axis other than the batch has a free size, or the result holds the square of the batch size.
    """
    found = context.shape(0)
    if context.kind == "Shape":
        found = found[slice(context.attribute("start", 0), context.attribute("end"))]
    if None in found:
        raise context.unsupported(f"a free size in the shape of its input {context.inputs[0]}")
    if context.kind == "Shape":
        return packed(found)
    numbers, batches = _factors(found)
    if len(batches) > 1:
        raise context.unsupported("a square of the batch size")
    return packed(math.prod(numbers) * (batches[0] if batches else 1))


def _factors(sizes: list[Any]) -> tuple[list[int], list[Batch]]:
    return [s for s in sizes if isinstance(s, int)], [s for s in sizes if isinstance(s, Batch)]


@operator("Reshape")
def reshape(context: Context) -> fx.Node:
    """`torch.flatten` where only the batch axis stays, else `torch.reshape`; the batch stays free.

    Limits: a computed target, unless from shapes; a fixed batch where it is free; two free sizes.

    Raises:
        OperatorError: the target is computed, has two free sizes, or fixes the batch where it is free.
    """
    import torch

    given, wanted = context.shape(0), context.sizes(1, "target")
    zeros = bool(context.attribute("allowzero", 0))
    target: list[Any] = [given[i] if size == 0 and not zeros else size for i, size in enumerate(wanted)]
    if target.count(-1) == 1 and None not in given and None not in target:
        target[target.index(-1)] = _rest(context, given, target)
    free = [i for i, size in enumerate(target) if not isinstance(size, int) or size == -1]
    if not free and any(isinstance(size, Batch) for size in given):
        raise context.unsupported(f"the fixed batch {target[0]}" if target else "no axes")
    if len(target) == 2 and len(given) > 1 and free == [0] and target[0] == given[0] and None not in given[1:]:
        return context.call(torch.flatten, context.value(0), 1)
    if len(free) == 1:
        target[free[0]] = -1
    if None in target:
        raise context.unsupported("two free sizes")
    return context.call(torch.reshape, context.value(0), tuple(context.dimension(size) for size in target))


def _rest(context: Context, given: list[Any], target: list[Any]) -> Size:
    """The size that -1 stands for."""
    numbers, batches = _factors(given)
    others, used = _factors([size for size in target if size != -1])
    whole = math.prod(numbers) * math.prod(each.factor for each in batches)
    part = math.prod(others) * math.prod(each.factor for each in used)
    left = len(batches) - len(used)
    if part == 0 or whole % part or left not in (0, 1):
        raise context.unsupported(f"the target {target} for the shape {given}")
    return Batch(whole // part) if left else whole // part


@operator("Flatten")
def flatten(context: Context) -> fx.Node:
    """`torch.flatten` from the second axis, `torch.reshape` to two axes from another one."""
    import torch

    axis = context.attribute("axis", 1)
    axis = axis if axis >= 0 else axis + context.rank(0)
    if axis == 1 and context.rank(0) > 1:
        return context.call(torch.flatten, context.value(0), 1)
    rest = [size for size in context.shape(0)[axis:] if isinstance(size, int)]
    if axis and len(rest) == context.rank(0) - axis:
        return context.call(torch.reshape, context.value(0), (-1, math.prod(rest)))
    first = context.fixed_shape(0)[:axis] if axis else []
    return context.call(torch.reshape, context.value(0), (math.prod(first), -1))


@operator("Transpose")
def transpose(context: Context) -> fx.Node:
    """`torch.permute`."""
    import torch

    order = context.attribute("perm", list(reversed(range(context.rank(0)))))
    return context.call(torch.permute, context.value(0), tuple(order))


@operator("Squeeze")
def squeeze(context: Context) -> fx.Node:
    """`torch.squeeze`.

    Limits: computed axes.
    """
    import torch

    axes = context.axes()
    axes = [i for i, size in enumerate(context.shape(0)) if size == 1] if axes is None else axes
    return context.call(torch.squeeze, context.value(0), tuple(axes))


@operator("Unsqueeze")
def unsqueeze(context: Context) -> fx.Node:
    """`torch.unsqueeze`, axis by axis.

    Limits: computed axes.
    """
    import torch

    axes = context.integers(1, "list of axes")
    result = context.value(0)
    for axis in sorted(axis % (context.rank(0) + len(axes)) for axis in axes):
        result = context.call(torch.unsqueeze, result, axis)
    return result


@operator("Concat")
def concat(context: Context) -> fx.Node:
    """`torch.cat`."""
    import torch

    return context.call(torch.cat, [context.value(i) for i in range(len(context.inputs))], context.attribute("axis"))


@operator("Split")
def split(context: Context) -> tuple[fx.Node, ...]:
    """`torch.split`.

    Limits: computed sizes; a free size.

    Raises:
        OperatorError: the sizes are computed, or the axis has a free size and none are given.
    """
    import torch

    axis, count = context.axis(0), len(context.node.output)
    if context.has(1):
        parts = context.integers(1, "list of sizes")
    else:
        size = context.shape(0)[axis]
        if not isinstance(size, int):
            raise context.unsupported("a free size to split")
        each = -(-size // count)
        parts = [each] * (count - 1) + [size - each * (count - 1)]
    both = context.call(torch.split, context.value(0), parts, axis)
    return tuple(context.item(both, i) for i in range(count))


@operator("Expand")
def expand(context: Context) -> fx.Node:
    """`torch.broadcast_to`.

    Limits: a computed target, unless from shapes.
    """
    import torch

    wanted, given = context.sizes(1, "target"), context.shape(0)
    rank = max(len(wanted), len(given))
    pairs = zip([1] * (rank - len(given)) + given, [1] * (rank - len(wanted)) + wanted, strict=True)
    target = tuple(
        -1 if own == size or (size == 1 and i >= rank - len(given)) else context.dimension(size)
        for i, (own, size) in enumerate(pairs)
    )
    first = rank - len(given)  # PyTorch takes no -1 for an axis that is new
    target = tuple(1 if size == -1 and i < first else size for i, size in enumerate(target))
    return context.call(torch.broadcast_to, context.value(0), target)


@operator("Tile")
def tile(context: Context) -> fx.Node:
    """`torch.tile`.

    Limits: computed repeats, unless from shapes.
    """
    import torch

    repeats = tuple(context.dimension(size) for size in context.sizes(1, "number of repeats"))
    return context.call(torch.tile, context.value(0), repeats)


@operator("ConstantOfShape")
def constant_of_shape(context: Context) -> fx.Node:
    """Known at import, or `torch.full` where the batch is free.

    Limits: a computed shape, unless from shapes.
    """
    import onnx
    import torch

    value = context.attribute("value")
    array = np.zeros(1, np.float32) if value is None else onnx.numpy_helper.to_array(value)
    target = tuple(context.dimension(size) for size in context.sizes(0, "shape"))
    return context.call(torch.full, target, array.item(), dtype=getattr(torch, array.dtype.name))


@operator("DepthToSpace", "SpaceToDepth")
def depth_and_space(context: Context) -> fx.Node:
    """`nn.PixelShuffle` in the mode CRD, else `torch.reshape`, `torch.permute`, `torch.reshape`.

    Limits: free spatial sizes.
    """
    import torch
    from torch import nn

    block = context.attribute("blocksize")
    if context.attribute("mode", "DCR") == "CRD":
        return context.module(nn.PixelShuffle(block))
    channels, height, width = context.fixed_shape(0, 1)
    if context.kind == "DepthToSpace":
        apart, order = (block, block, channels // block**2, height, width), (0, 3, 4, 1, 5, 2)
        together = (channels // block**2, height * block, width * block)
    else:
        apart, order = (channels, height // block, block, width // block, block), (0, 3, 5, 1, 2, 4)
        together = (channels * block**2, height // block, width // block)
    moved = context.call(torch.permute, context.call(torch.reshape, context.value(0), (-1, *apart)), order)
    return context.call(torch.reshape, moved, (-1, *together))
