"""Elementwise arithmetic with broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bitpick.conversion.pytorch_operators.context import Context
from bitpick.conversion.pytorch_operators.registry import operator

if TYPE_CHECKING:
    from torch import fx


@operator("Add", "Sub", "Mul", "Div", "Pow")
def binary(context: Context) -> fx.Node:
    """The function of the same name: `torch.add`, `torch.sub`, `torch.mul`, `torch.div`, `torch.pow`.

    Either operand may be stored. Integer division rounds towards zero.
    """
    import torch

    function: Callable[..., Any] = getattr(torch, context.kind.lower())
    first, second = context.value(0), context.operand(1)
    if context.kind in ("Add", "Mul") and context.is_stored(0):
        first, second = context.value(1), context.operand(0)  # a number goes second
    integers = not context.dtype(0).is_floating_point
    if context.kind == "Div" and integers:
        return context.call(torch.div, first, second, rounding_mode="trunc")
    if context.kind == "Pow" and context.dtype(0) != context.dtype(1):
        return context.method("to", context.call(torch.pow, first, context.value(1)), context.dtype(0))
    return context.call(function, first, second)


@operator("Mod")
def modulo(context: Context) -> fx.Node:
    """`torch.remainder`, or `torch.fmod` if `fmod` is set."""
    import torch

    function = torch.fmod if context.attribute("fmod", 0) else torch.remainder
    return context.call(function, context.value(0), context.value(1))


@operator("Max", "Min", "Sum", "Mean")
def variadic(context: Context) -> fx.Node:
    """`torch.maximum`, `torch.minimum` or `torch.add`, input by input; a mean is divided at the end."""
    import torch

    function = {"Max": torch.maximum, "Min": torch.minimum}.get(context.kind, torch.add)
    result = context.value(0)
    for index in range(1, len(context.inputs)):
        result = context.call(function, result, context.value(index))
    return context.call(torch.div, result, len(context.inputs)) if context.kind == "Mean" else result


@operator(
    "Abs", "Neg", "Exp", "Log", "Sqrt", "Reciprocal", "Erf", "Floor", "Ceil", "Round", "Sign",
    "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh",
)  # fmt: skip
def unary(context: Context) -> fx.Node:
    """The function of the same name in `torch`."""
    import torch

    return context.call(getattr(torch, context.kind.lower()), context.value(0))
