"""Reductions over axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bitpick.conversion.pytorch_operators.context import Context
from bitpick.conversion.pytorch_operators.registry import operator

if TYPE_CHECKING:
    from torch import fx


def _axes(context: Context) -> list[int] | None:
    """Return the axes to reduce: all axes by default; None if the node does nothing without axes."""
    axes = context.axes()
    if not axes:
        return None if context.attribute("noop_with_empty_axes", 0) else list(range(context.rank(0)))
    return axes


@operator("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceLogSumExp")
def reduce(context: Context) -> fx.Node:
    """`torch.mean`, `torch.sum`, `torch.amax`, `torch.amin` or `torch.logsumexp`.

    Limits: computed axes; means of integers.

    Raises:
        OperatorError: the axes are computed, or it is a mean of integers.
    """
    import torch

    functions: dict[str, Any] = {
        "ReduceMean": torch.mean,
        "ReduceSum": torch.sum,
        "ReduceMax": torch.amax,
        "ReduceMin": torch.amin,
        "ReduceLogSumExp": torch.logsumexp,
    }
    axes = _axes(context)
    if axes is None:
        return context.value(0)
    if context.kind == "ReduceMean" and not context.dtype(0).is_floating_point:
        raise context.unsupported("means of integers")
    # By default PyTorch sums integers as 64-bit ones.
    options = {"dtype": context.dtype(0)} if context.kind == "ReduceSum" else {}
    keep = bool(context.attribute("keepdims", 1))
    return context.call(functions[context.kind], context.value(0), axes, keepdim=keep, **options)


@operator("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum")
def reduce_function(context: Context) -> fx.Node:
    """`torch.linalg.vector_norm`, or `torch.sum` after a square or before a logarithm.

    Limits: computed axes; `noop_with_empty_axes` with no axes.

    Raises:
        OperatorError: the axes are computed, or there are none and `noop_with_empty_axes` is set.
    """
    import torch

    axes, keep, x = _axes(context), bool(context.attribute("keepdims", 1)), context.value(0)
    if axes is None:
        raise context.unsupported("no axes")
    if context.kind in ("ReduceL1", "ReduceL2"):
        return context.call(torch.linalg.vector_norm, x, int(context.kind[-1]), axes, keepdim=keep)
    if context.kind == "ReduceSumSquare":
        return context.call(torch.sum, context.call(torch.square, x), axes, keepdim=keep)
    return context.call(torch.log, context.call(torch.sum, x, axes, keepdim=keep))


@operator("ReduceProd")
def reduce_product(context: Context) -> fx.Node:
    """`torch.prod`, axis by axis.

    Limits: computed axes.
    """
    import torch

    axes, result = _axes(context), context.value(0)
    for axis in sorted(axes or [], reverse=True):
        keep = bool(context.attribute("keepdims", 1))
        result = context.call(torch.prod, result, axis, keepdim=keep, dtype=context.dtype(0))
    return result


@operator("ArgMax", "ArgMin")
def arg(context: Context) -> fx.Node:
    """`torch.argmax` or `torch.argmin`.

    Limits: `select_last_index` on an axis of a free size.

    Raises:
        OperatorError: `select_last_index` is set, and the axis has a free size.
    """
    import torch

    function = torch.argmax if context.kind == "ArgMax" else torch.argmin
    axis, keep = context.axis(0), bool(context.attribute("keepdims", 1))
    if not context.attribute("select_last_index", 0):
        return context.call(function, context.value(0), axis, keep)
    size = context.shape(0)[axis]
    if not isinstance(size, int):
        raise context.unsupported("select_last_index on an axis of a free size")
    flipped_index = context.call(function, context.call(torch.flip, context.value(0), [axis]), axis, keep)
    return context.call(torch.rsub, flipped_index, size - 1)


@operator("TopK")
def top_k(context: Context) -> tuple[fx.Node, ...]:
    """`torch.topk`; its choice among equal elements is undefined.

    Limits: a computed `k`.
    """
    import torch

    (k,) = context.integers(1, "k")
    largest, ordered = bool(context.attribute("largest", 1)), bool(context.attribute("sorted", 1))
    result = context.call(torch.topk, context.value(0), k, context.axis(-1), largest, ordered)
    return context.item(result, 0), context.item(result, 1)


@operator("CumSum")
def cumulated(context: Context) -> fx.Node:
    """`torch.cumsum`, flipped before and after if reversed.

    Limits: a computed axis.
    """
    import torch

    (axis,) = context.integers(1, "axis")
    reverse = bool(context.attribute("reverse", 0))
    x = context.call(torch.flip, context.value(0), [axis]) if reverse else context.value(0)
    result = context.call(torch.cumsum, x, axis, dtype=context.dtype(0))
    result = context.call(torch.sub, result, x) if context.attribute("exclusive", 0) else result
    return context.call(torch.flip, result, [axis]) if reverse else result
