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
    """The input itself: dropout does nothing in inference.

    Limits: the output `mask` of a dropout.
    """
    return context.value(0)


@operator("Shape", "Size")
def shape(context: Context) -> NDArray[Any]:
    """Known at import: numbers, and multiples of a free batch.

    Limits: a free size other than the batch; addition to the batch size, or floating-point arithmetic with it.

    Raises:
        OperatorError: a size other than the batch is free, or the result contains the square of the batch size.
    """
    sizes = context.shape(0)
    if context.kind == "Shape":
        sizes = sizes[slice(context.attribute("start", 0), context.attribute("end"))]
    if None in sizes:
        raise context.unsupported(f"a free size in the shape of its input {context.inputs[0]}")
    if context.kind == "Shape":
        return packed(sizes)
    numbers, batches = _factors(sizes)
    if len(batches) > 1:
        raise context.unsupported("a square of the batch size")
    return packed(math.prod(numbers) * (batches[0] if batches else 1))


def _factors(sizes: list[Any]) -> tuple[list[int], list[Batch]]:
    return [s for s in sizes if isinstance(s, int)], [s for s in sizes if isinstance(s, Batch)]


@operator("Reshape")
def reshape(context: Context) -> fx.Node:
    """`torch.flatten` if only the batch axis stays, else `torch.reshape`; the batch stays free.

    Limits: a target computed from values other than shapes; a fixed size for a free batch; two free sizes.

    Raises:
        OperatorError: the target is computed from values other than shapes, has two free sizes, or fixes a free batch.
    """
    import torch

    source, requested = context.shape(0), context.sizes(1, "target")
    zeros = bool(context.attribute("allowzero", 0))
    target: list[Any] = [source[i] if size == 0 and not zeros else size for i, size in enumerate(requested)]
    if target.count(-1) == 1 and None not in source and None not in target:
        target[target.index(-1)] = _remaining_size(context, source, target)
    free = [i for i, size in enumerate(target) if not isinstance(size, int) or size == -1]
    if not free and any(isinstance(size, Batch) for size in source):
        raise context.unsupported(f"the fixed batch {target[0]}" if target else "no axes")
    if len(target) == 2 and len(source) > 1 and free == [0] and target[0] == source[0] and None not in source[1:]:
        return context.call(torch.flatten, context.value(0), 1)
    if len(free) == 1:
        target[free[0]] = -1
    if None in target:
        raise context.unsupported("two free sizes")
    return context.call(torch.reshape, context.value(0), tuple(context.dimension(size) for size in target))


def _remaining_size(context: Context, source: list[Any], target: list[Any]) -> Size:
    """Return the size that -1 stands for."""
    numbers, batches = _factors(source)
    others, used_batches = _factors([size for size in target if size != -1])
    total = math.prod(numbers) * math.prod(each.factor for each in batches)
    divisor = math.prod(others) * math.prod(each.factor for each in used_batches)
    batches_left = len(batches) - len(used_batches)
    if divisor == 0 or total % divisor or batches_left not in (0, 1):
        raise context.unsupported(f"the target {target} for the shape {source}")
    return Batch(total // divisor) if batches_left else total // divisor


@operator("Flatten")
def flatten(context: Context) -> fx.Node:
    """`torch.flatten` from the second axis on, else `torch.reshape` to two axes."""
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
        OperatorError: the sizes are computed, or there are none and the axis has a free size.
    """
    import torch

    axis, count = context.axis(0), len(context.node.output)
    if context.has(1):
        parts = context.integers(1, "list of sizes")
    else:
        size = context.shape(0)[axis]
        if not isinstance(size, int):
            raise context.unsupported("a free size to split")
        size_each = -(-size // count)
        parts = [size_each] * (count - 1) + [size - size_each * (count - 1)]
    pieces = context.call(torch.split, context.value(0), parts, axis)
    return tuple(context.item(pieces, i) for i in range(count))


@operator("Expand")
def expand(context: Context) -> fx.Node:
    """`torch.broadcast_to`.

    Limits: a target computed from values other than shapes.
    """
    import torch

    requested, source = context.sizes(1, "target"), context.shape(0)
    rank = max(len(requested), len(source))
    pairs = zip([1] * (rank - len(source)) + source, [1] * (rank - len(requested)) + requested, strict=True)
    target = tuple(
        -1 if old_size == size or (size == 1 and i >= rank - len(source)) else context.dimension(size)
        for i, (old_size, size) in enumerate(pairs)
    )
    first = rank - len(source)  # PyTorch does not accept -1 for a new axis
    target = tuple(1 if size == -1 and i < first else size for i, size in enumerate(target))
    return context.call(torch.broadcast_to, context.value(0), target)


@operator("Tile")
def tile(context: Context) -> fx.Node:
    """`torch.tile`.

    Limits: repeats computed from values other than shapes.
    """
    import torch

    repeats = tuple(context.dimension(size) for size in context.sizes(1, "number of repeats"))
    return context.call(torch.tile, context.value(0), repeats)


@operator("ConstantOfShape")
def constant_of_shape(context: Context) -> fx.Node:
    """Known at import, or `torch.full` if the batch is free.

    Limits: a shape computed from values other than shapes.
    """
    import onnx
    import torch

    value = context.attribute("value")
    array = np.zeros(1, np.float32) if value is None else onnx.numpy_helper.to_array(value)
    target = tuple(context.dimension(size) for size in context.sizes(0, "shape"))
    return context.call(torch.full, target, array.item(), dtype=getattr(torch, array.dtype.name))


@operator("DepthToSpace", "SpaceToDepth")
def depth_and_space(context: Context) -> fx.Node:
    """`nn.PixelShuffle` in mode CRD, else `torch.reshape`, `torch.permute`, `torch.reshape`.

    Limits: free spatial sizes.
    """
    import torch
    from torch import nn

    block = context.attribute("blocksize")
    if context.attribute("mode", "DCR") == "CRD":
        return context.module(nn.PixelShuffle(block))
    channels, height, width = context.fixed_shape(0, 1)
    if context.kind == "DepthToSpace":
        split_shape, order = (block, block, channels // block**2, height, width), (0, 3, 4, 1, 5, 2)
        merged_shape = (channels // block**2, height * block, width * block)
    else:
        split_shape, order = (channels, height // block, block, width // block, block), (0, 3, 5, 1, 2, 4)
        merged_shape = (channels * block**2, height // block, width // block)
    moved = context.call(torch.permute, context.call(torch.reshape, context.value(0), (-1, *split_shape)), order)
    return context.call(torch.reshape, moved, (-1, *merged_shape))
