"""Operators that select, scatter or pad elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bitpick.conversion.pytorch_operators.context import Context, parameter
from bitpick.conversion.pytorch_operators.padding import trimmed
from bitpick.conversion.pytorch_operators.registry import operator
from bitpick.conversion.pytorch_operators.sizes import Size

if TYPE_CHECKING:
    from torch import fx


@operator("Slice")
def slices(context: Context) -> fx.Node:
    """Indexing with slices; `torch.index_select` for a negative step.

    Limits: bounds computed from values other than shapes; a negative step on an axis of a free size.

    Raises:
        OperatorError: the bounds are computed, or a step is negative and the axis or a bound is free.
    """
    import torch

    starts, ends = context.sizes(1, "start"), context.sizes(2, "end")
    axes = context.axes(3) or list(range(len(starts)))
    steps = context.integers(4, "step") if context.has(4) else [1] * len(starts)
    x, index = context.value(0), [slice(None)] * context.rank(0)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = context.shape(0)[axis]
        if step > 0:
            index[axis] = slice(_bound(context, start, size), _bound(context, end, size), step)
        elif isinstance(size, int) and isinstance(start, int) and isinstance(end, int):
            chosen = np.arange(size)[start:end:step]
            name = f"{context.name}_index{axis}"
            x = context.call(torch.index_select, x, axis, context.assembly.buffer(name, chosen))
        else:
            raise context.unsupported("a negative step on an axis of a free size")
    index = [slice(None) if each == slice(None, None, 1) else each for each in index]
    return x if all(each == slice(None) for each in index) else context.item(x, tuple(index))


def _bound(context: Context, bound: Size, size: Size | None) -> Any:
    """Return a bound of a slice; None if it is the end of the axis, whatever the size."""
    if bound == 0 or bound == size or (isinstance(bound, int) and abs(bound) >= np.iinfo(np.int32).max):
        return None
    return context.dimension(bound)


@operator("Gather")
def gather(context: Context) -> fx.Node:
    """`nn.Embedding` for rows of a stored table, else `torch.select`, `torch.index_select` or indexing.

    Limits: negative indices into a stored table.
    """
    import torch
    from torch import nn

    axis = context.axis(0)
    if not context.is_stored(1):
        if context.is_stored(0) and axis == 0 and context.rank(0) == 2:
            table = context.stored(0, "table")
            embedding = nn.Embedding(*table.shape)
            embedding.weight = parameter(table)
            return context.module(embedding, context.value(1))
        if context.rank(1):
            return context.item(context.value(0), (*[slice(None)] * axis, context.value(1)))
        index = context.call(torch.unsqueeze, context.value(1), 0)
        return context.call(torch.squeeze, context.item(context.value(0), (*[slice(None)] * axis, index)), axis)
    indices, size = context.stored(1, "index"), context.shape(0)[axis]
    if indices.ndim == 0:
        return context.call(torch.select, context.value(0), axis, int(indices))
    if isinstance(size, int):
        indices = np.where(indices < 0, indices + size, indices)
    buffer = context.assembly.buffer(f"{context.name}_index", indices)
    if indices.ndim == 1 and indices.size and indices.min() >= 0:
        return context.call(torch.index_select, context.value(0), axis, buffer)
    return context.item(context.value(0), (*[slice(None)] * axis, buffer))


@operator("GatherElements")
def gather_elements(context: Context) -> fx.Node:
    """`torch.gather`.

    Limits: an axis of a free size.

    Raises:
        OperatorError: the axis has a free size.
    """
    import torch

    axis = context.axis(0)
    size = context.shape(0)[axis]
    if not isinstance(size, int):
        raise context.unsupported("an axis of a free size")
    # PyTorch's version takes no negative indices.
    indices = context.call(torch.remainder, context.method("to", context.value(1), torch.int64), size)
    return context.call(torch.gather, context.value(0), axis, indices)


@operator("GatherND")
def gather_nd(context: Context) -> fx.Node:
    """Indexing with one tensor per axis; `torch.arange` makes the indices for the axes of `batch_dims`.

    Limits: free sizes other than the batch among `batch_dims`.

    Raises:
        OperatorError: one of `batch_dims` has a free size other than the batch.
    """
    import torch

    lead, rank = context.attribute("batch_dims", 0), context.rank(1)
    index: list[fx.Node] = []
    for axis, size in enumerate(context.shape(1)[:lead]):
        if size is None:
            raise context.unsupported("a free size among batch_dims")
        positions = context.call(torch.arange, context.dimension(size))
        shape = (*[1] * axis, -1, *[1] * (rank - 2 - axis))
        index.append(context.call(torch.reshape, positions, shape))
    return context.item(context.value(0), (*index, *_coordinates(context)))


def _coordinates(context: Context) -> list[fx.Node]:
    """Split the last axis of the second input into one index tensor for each indexed axis."""
    import torch

    (count,) = context.fixed_shape(1, context.rank(1) - 1)
    return [context.call(torch.select, context.value(1), -1, i) for i in range(count)]


@operator("ScatterElements")
def scatter_elements(context: Context) -> fx.Node:
    """`torch.scatter`, or `torch.scatter_reduce` with a reduction.

    Limits: an axis of a free size.

    Raises:
        OperatorError: the axis has a free size.
    """
    import torch

    axis, reduction = context.axis(0), context.attribute("reduction", "none")
    size = context.shape(0)[axis]
    if not isinstance(size, int):
        raise context.unsupported("an axis of a free size")
    x, updates = context.value(0), context.value(2)
    indices = context.call(torch.remainder, context.method("to", context.value(1), torch.int64), size)
    if reduction == "none":
        return context.call(torch.scatter, x, axis, indices, updates)
    name = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}[reduction]
    return context.call(torch.scatter_reduce, x, axis, indices, updates, reduce=name, include_self=True)


@operator("ScatterND")
def scatter_nd(context: Context) -> fx.Node:
    """`torch.index_put`.

    Limits: reductions other than `add`.

    Raises:
        OperatorError: there is a reduction other than `add`.
    """
    import torch

    reduction = context.attribute("reduction", "none")
    if reduction not in ("none", "add"):
        raise context.unsupported(f"the reduction {reduction}")
    indices = tuple(_coordinates(context))
    return context.call(torch.index_put, context.value(0), indices, context.value(2), reduction == "add")


@operator("OneHot")
def one_hot(context: Context) -> fx.Node:
    """`torch.eq` with each class, and `torch.where`.

    Limits: a computed number of classes.
    """
    import torch

    (depth,) = context.integers(1, "number of classes")
    axis = context.attribute("axis", -1) % (context.rank(0) + 1)
    shape = [1] * (context.rank(0) + 1)
    shape[axis] = depth
    classes = context.assembly.buffer(f"{context.name}_classes", np.arange(depth).reshape(shape))
    wide = context.call(torch.unsqueeze, context.value(0), axis)
    # Indices from -depth to -1 count from the end; all others match no class.
    direct = context.call(torch.eq, wide, classes)
    from_end = context.call(torch.eq, context.call(torch.add, wide, depth), classes)
    chosen = context.call(torch.logical_or, direct, from_end)
    off_value, on_value = (context.call(torch.select, context.value(2), 0, i) for i in range(2))
    return context.call(torch.where, chosen, on_value, off_value)


@operator("GridSample")
def grid_sample(context: Context) -> fx.Node:
    """`torch.nn.functional.grid_sample`.

    Limits: cubic on three spatial axes.

    Raises:
        OperatorError: the mode is cubic, and the input does not have two spatial axes.
    """
    from torch.nn import functional

    mode = context.attribute("mode", "linear")
    name = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    if name == "bicubic" and context.rank(0) != 4:
        raise context.unsupported("the mode cubic on three spatial axes")
    padding, align = context.attribute("padding_mode", "zeros"), bool(context.attribute("align_corners", 0))
    return context.call(functional.grid_sample, context.value(0), context.value(1), name, padding, align)


@operator("Trilu")
def triangle(context: Context) -> fx.Node:
    """`torch.triu` or `torch.tril`.

    Limits: a computed diagonal.
    """
    import torch

    diagonal = int(context.stored(1, "diagonal")) if context.has(1) else 0
    function = torch.triu if context.attribute("upper", 1) else torch.tril
    return context.call(function, context.value(0), diagonal)


@operator("Range")
def numbers(context: Context) -> fx.Node:
    """Known at import.

    Limits: bounds computed from values other than shapes; a range over the batch.

    Raises:
        OperatorError: always. Ranges with known bounds are computed at import and never get here.
    """
    raise context.unsupported("computed bounds")


@operator("Pad")
def pad(context: Context) -> fx.Node:
    """`torch.nn.functional.pad`: constant, reflect, replicate or circular.

    Limits: computed sizes; in all modes but `constant`, axes other than the last three, and the first axis.

    Raises:
        OperatorError: the sizes are computed, or the mode cannot pad these axes.
    """
    from torch.nn import functional

    rank, sizes = context.rank(0), context.integers(1, "padding")
    axes = context.axes(3) or list(range(rank))
    pairs = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        pairs[axis] = (sizes[i], sizes[len(axes) + i])
    name = context.attribute("mode", "constant")
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}[name]
    value = context.stored(2, "value").item() if mode == "constant" and context.has(2) else 0
    if mode != "constant":  # in these modes PyTorch pads all axes after the first or the second, at most three
        lead = next((n for n in (2, 1) if 1 <= rank - n <= 3 and set(pairs[:n]) == {(0, 0)}), None)
        if lead is None:
            raise context.unsupported(f"the mode {name} on these axes")
        x, pairs = context.value(0), pairs[lead:]
    else:
        x, pairs = trimmed(context, context.value(0), pairs)
    flat = tuple(side for pair in reversed(pairs) for side in pair)  # PyTorch counts from the last axis
    return context.call(functional.pad, x, flat, mode, value) if any(flat) else x
