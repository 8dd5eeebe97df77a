"""Recurrent layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bitpick.conversion.pytorch_operators.context import Context, parameter
from bitpick.conversion.pytorch_operators.registry import operator

if TYPE_CHECKING:
    from torch import fx, nn

# The gates in PyTorch's order, as numbers in ONNX's.
_GATES = {"LSTM": [0, 2, 3, 1], "GRU": [1, 0, 2], "RNN": [0]}
_ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}


@operator("LSTM", "GRU", "RNN")
def recurrent(context: Context) -> tuple[fx.Node, ...]:
    """`nn.LSTM`, `nn.GRU` or `nn.RNN` of one layer, in one direction or both.

    Limits: computed weights; peepholes; sequence lengths; other activations than the usual ones; `clip`; `layout`;
    `input_forget`; a GRU that resets before its product (`linear_before_reset` of 0).
    """
    import torch

    _refuse(context)
    directions, reverse = len(context.stored(1, "weight")), context.attribute("direction", "forward") == "reverse"
    module = _module(context)
    x = context.call(torch.flip, context.value(0), [0]) if reverse else context.value(0)
    states = [context.value(i) for i in (5, 6) if context.has(i)]
    arguments = [x, tuple(states) if context.kind == "LSTM" else states[0]] if states else [x]
    result = context.assembly.module(context.name, module, *arguments)
    y = context.call(torch.unflatten, context.item(result, 0), 2, (directions, -1))
    y = context.call(torch.permute, y, (0, 2, 1, 3))
    y = context.call(torch.flip, y, [0]) if reverse else y
    last = context.item(result, 1)
    return (y, context.item(last, 0), context.item(last, 1)) if context.kind == "LSTM" else (y, last)


def _refuse(context: Context) -> None:
    for name, usual in (("layout", 0), ("clip", None), ("input_forget", 0)):
        if context.attribute(name, usual) != usual:
            raise context.unsupported(f"the attribute {name}")
    if context.kind == "GRU" and not context.attribute("linear_before_reset", 0):
        raise context.unsupported("linear_before_reset of 0")
    if context.has(4):
        raise context.unsupported("sequence lengths")
    if context.has(7):
        raise context.unsupported("peepholes")
    if context.has(5) != context.has(6) and context.kind == "LSTM":
        raise context.unsupported("one of two initial states")


def _module(context: Context) -> nn.Module:
    import torch
    from torch import nn

    weights, recurrences = context.stored(1, "weight"), context.stored(2, "recurrence")
    size, directions = recurrences.shape[2], len(weights)
    options: dict[str, Any] = {}
    named = [each.decode() for each in context.attribute("activations", [])]
    if context.kind == "RNN" and named and set(named) == {"Relu"}:
        options["nonlinearity"] = "relu"
    elif named and named != _ACTIVATIONS[context.kind] * directions:
        raise context.unsupported(f"the activations {', '.join(named)}")
    module = getattr(nn, context.kind)(
        weights.shape[2], size, bias=context.has(3), bidirectional=directions == 2, **options
    )

    def ordered(array: Any) -> torch.nn.Parameter:
        gates = np.split(array, len(_GATES[context.kind]))
        return parameter(np.concatenate([gates[i] for i in _GATES[context.kind]]))

    for direction, suffix in zip(range(directions), ("", "_reverse"), strict=False):
        setattr(module, f"weight_ih_l0{suffix}", ordered(weights[direction]))
        setattr(module, f"weight_hh_l0{suffix}", ordered(recurrences[direction]))
        if context.has(3):
            for name, bias in zip(("ih", "hh"), np.split(context.stored(3, "bias")[direction], 2), strict=True):
                setattr(module, f"bias_{name}_l0{suffix}", ordered(bias))
    return module  # type: ignore[no-any-return]
