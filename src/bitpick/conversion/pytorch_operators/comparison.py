"""Comparisons, logic, and casts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bitpick.conversion.pytorch_operators.context import Context
from bitpick.conversion.pytorch_operators.registry import operator

if TYPE_CHECKING:
    from torch import fx

_FUNCTIONS = {
    "Equal": "eq", "Greater": "gt", "GreaterOrEqual": "ge", "Less": "lt", "LessOrEqual": "le",
    "And": "logical_and", "Or": "logical_or", "Xor": "logical_xor", "Not": "logical_not",
    "IsNaN": "isnan",
}  # fmt: skip


@operator(*_FUNCTIONS)
def compare(context: Context) -> fx.Node:
    """`torch.eq`, `torch.gt`, `torch.ge`, `torch.lt`, `torch.le`, `torch.logical_…`, `torch.isnan`."""
    import torch

    function = getattr(torch, _FUNCTIONS[context.kind])
    return context.call(function, *(context.value(i) for i in range(len(context.inputs))))


@operator("IsInf")
def is_inf(context: Context) -> fx.Node:
    """`torch.isinf`, `torch.isposinf` or `torch.isneginf`.

    Limits: no sign to detect.

    Raises:
        OperatorError: both `detect_negative` and `detect_positive` are off.
    """
    import torch

    signs = context.attribute("detect_negative", 1), context.attribute("detect_positive", 1)
    functions = {(1, 1): torch.isinf, (0, 1): torch.isposinf, (1, 0): torch.isneginf}
    if signs not in functions:
        raise context.unsupported("neither sign to look for")
    return context.call(functions[signs], context.value(0))


@operator("Where")
def where(context: Context) -> fx.Node:
    """`torch.where`."""
    import torch

    return context.call(torch.where, *(context.value(i) for i in range(3)))


@operator("Cast", "CastLike")
def cast(context: Context) -> fx.Node:
    """`Tensor.to` another dtype.

    Limits: strings; 8-bit and smaller types other than integers.

    Raises:
        OperatorError: PyTorch has no such dtype, or it is an 8-bit float.
    """
    import onnx
    import torch

    if context.kind == "CastLike":
        return context.method("to", context.value(0), context.dtype(1))
    number = context.attribute("to")
    name = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(number)).name
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype) or name.startswith("float8"):
        raise context.unsupported(f"the type {onnx.TensorProto.DataType.Name(number)}")
    return context.method("to", context.value(0), dtype)
