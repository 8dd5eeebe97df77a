"""Recurrent layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bitpick.conversion.pytorch_operators.context import Context, parameter
from bitpick.conversion.pytorch_operators.registry import operator

if TYPE_CHECKING:
    from torch import fx, nn

# For each gate in PyTorch's order, its index in ONNX's order.
_GATES = {"LSTM": [0, 2, 3, 1], "GRU": [1, 0, 2], "RNN": [0]}
_MOST_STEPS = 256  # each step adds a dozen nodes
_ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}


@operator("LSTM", "GRU", "RNN")
def recurrent(context: Context) -> tuple[fx.Node, ...]:
    """`nn.LSTM`, `nn.GRU` or `nn.RNN` with one layer, in one direction or both.

    `nn.GRU` cannot reset before its product (`linear_before_reset` of 0): such a GRU is written out step by step.

    Limits: computed weights; peepholes; sequence lengths; activations other than the default ones; `clip`; `layout`;
    `input_forget`; a GRU with `linear_before_reset` of 0 and a free length or more than 256 steps.
    """
    import torch

    _refuse(context)
    if context.kind == "GRU" and not context.attribute("linear_before_reset", 0):
        return _steps(context)
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
    for name, default in (("layout", 0), ("clip", None), ("input_forget", 0)):
        if context.attribute(name, default) != default:
            raise context.unsupported(f"the attribute {name}")
    activations = [name_bytes.decode() for name_bytes in context.attribute("activations", [])]
    directions = len(context.stored(1, "weight"))
    relu_only = context.kind == "RNN" and set(activations) == {"Relu"}
    if activations and not relu_only and activations != _ACTIVATIONS[context.kind] * directions:
        raise context.unsupported(f"the activations {', '.join(activations)}")
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
    if context.kind == "RNN" and b"Relu" in context.attribute("activations", []):
        options["nonlinearity"] = "relu"
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


def _steps(context: Context) -> tuple[fx.Node, ...]:
    """Write out, step by step, a GRU whose state is reset before its product.

    ONNX, operator GRU: z = σ(x·Wz + h·Rz + bz), r = σ(x·Wr + h·Rr + br), n = tanh(x·Wn + (r ∘ h)·Rn + bn),
    and the next h is (1 - z) ∘ n + z ∘ h.
    """
    import torch

    length = context.shape(0)[0]
    if not isinstance(length, int) or length > _MOST_STEPS:
        steps = f"more than {_MOST_STEPS} steps" if isinstance(length, int) else "a free number of steps"
        raise context.unsupported(f"linear_before_reset of 0, and {steps}")
    reverse, directions = context.attribute("direction", "forward") == "reverse", len(context.stored(1, "weight"))
    states = [_direction(context, index, length, reverse or index == 1) for index in range(directions)]
    y = [context.call(torch.stack, sequence) for sequence in states]
    last = [sequence[0 if reverse or index == 1 else -1] for index, sequence in enumerate(states)]
    return context.call(torch.stack, y, 1), context.call(torch.stack, last)


def _direction(context: Context, index: int, length: int, backwards: bool) -> list[fx.Node]:
    """Return the state after each step of one direction, in time order, each of shape (batch, size)."""
    import torch
    from torch.nn import functional

    weights, recurrences = context.stored(1, "weight")[index], context.stored(2, "recurrence")[index]
    size = recurrences.shape[1]
    bias = np.zeros((2, 3 * size), np.float32)
    if context.has(3):
        bias = context.stored(3, "bias")[index].reshape(2, -1)
    stored = {
        "weight": weights, "bias": bias.sum(axis=0), "gates": recurrences[: 2 * size], "new": recurrences[2 * size :],
    }  # fmt: skip
    weight, offset, gates, new = (
        context.assembly.buffer(f"{context.name}_{name}{index}", each) for name, each in stored.items()
    )
    state = context.item(context.value(5), index) if context.has(5) else None
    states: dict[int, fx.Node] = {}
    for step in reversed(range(length)) if backwards else range(length):
        # Multiply step by step, with two axes: PyTorch cannot compile an integer product whose batch is in the middle.
        projected = context.call(functional.linear, context.item(context.value(0), step), weight, offset)
        gate_values, candidate = (
            context.item(projected, (slice(None), part)) for part in (slice(2 * size), slice(2 * size, None))
        )
        if state is not None:
            gate_values = context.call(torch.add, gate_values, context.call(functional.linear, state, gates))
        gate_values = context.call(torch.sigmoid, gate_values)
        update, reset = (context.item(gate_values, (slice(None), part)) for part in (slice(size), slice(size, None)))
        if state is not None:
            reset_state = context.call(torch.mul, reset, state)
            candidate = context.call(torch.add, candidate, context.call(functional.linear, reset_state, new))
        candidate = context.call(torch.tanh, candidate)
        correction = context.call(torch.mul, update, candidate)
        if state is not None:
            correction = context.call(torch.sub, correction, context.call(torch.mul, update, state))
        state = states[step] = context.call(torch.sub, candidate, correction)
    return [states[step] for step in range(length)]
