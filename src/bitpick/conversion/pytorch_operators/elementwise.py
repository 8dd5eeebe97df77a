"""Arithmetic, element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bitpick.conversion.pytorch_operators.registry import Context, operator

if TYPE_CHECKING:
    from torch import fx


@operator("Add", "Sub", "Mul", "Div", "Pow")
def binary(context: Context) -> fx.Node:
    """A function of two tensors, one of which may be stored."""
    import torch

    function: Callable[..., Any] = getattr(torch, context.node.op_type.lower())
    return context.call(function, context.value(0), context.value(1))


@operator("Abs", "Neg", "Exp", "Log", "Sqrt", "Reciprocal", "Erf", "Floor", "Ceil")
def unary(context: Context) -> fx.Node:
    """A function of one tensor."""
    import torch

    return context.call(getattr(torch, context.node.op_type.lower()), context.value(0))
