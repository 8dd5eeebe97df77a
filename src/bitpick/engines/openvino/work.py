"""What the operators of an OpenVINO model multiply: where their weights are, and how much work they do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bitpick.engines import counting

_CONVOLUTIONS = {"Convolution": 1, "GroupConvolution": 1, "DeformableConvolution": 2}
_TRANSPOSED = ("ConvolutionBackpropData", "GroupConvolutionBackpropData")
_RECURRENT = {
    "LSTMSequence": (4, 5), "GRUSequence": (3, 4), "RNNSequence": (3, 4), "LSTMCell": (3, 4), "GRUCell": (2, 3),
    "RNNCell": (2, 3), "AUGRUSequence": (3, 4), "AUGRUCell": (2, 3),
}  # fmt: skip
# Where the weights of an operator are that multiplies and sums; of several places, any may hold a stored operand.
MULTIPLIES: Mapping[str, tuple[int, ...]] = {
    **{name: (place,) for name, place in _CONVOLUTIONS.items()},
    **dict.fromkeys(_TRANSPOSED, (1,)),
    "MatMul": (1, 0),
    **_RECURRENT,
    "ScaledDotProductAttention": (),
    "BinaryConvolution": (1,),
}
# Where the table of an operator is that looks up rows.
TABLES: Mapping[str, int] = {
    "Gather": 0, "GatherND": 0, "EmbeddingBagOffsetsSum": 0, "EmbeddingBagPackedSum": 0, "EmbeddingSegmentsSum": 0,
}  # fmt: skip


def places(op: Any) -> tuple[int, ...]:
    """Where the operands of an operator are that may be stored."""
    return tuple(range(op.get_input_size())) if op.get_type_name() == "Einsum" else MULTIPLIES[op.get_type_name()]


def multiplies(op: Any) -> bool:
    """Whether an operator multiplies and sums."""
    return op.get_type_name() == "Einsum" or op.get_type_name() in MULTIPLIES


def macs(op: Any) -> int | None:
    """Multiply-accumulates of one call of an operator; None where a shape is not known, or no formula is."""
    kind, inputs, output = op.get_type_name(), list(map(_shape, op.input_values())), _shape(op.output(0))
    if output is None or None in inputs:
        return None
    shapes = [each for each in inputs if each is not None]
    if kind in _CONVOLUTIONS:
        return counting.convolution(shapes[_CONVOLUTIONS[kind]], output, output[1])
    if kind in _TRANSPOSED:
        return counting.transposed_convolution(shapes[1], shapes[0], shapes[0][1])
    if kind == "MatMul":
        flipped = op.get_attributes()["transpose_b"] or len(shapes[1]) == 1
        return counting.product(output, shapes[1][-1 if flipped else -2])
    if kind == "Einsum":
        return counting.einsum(op.get_attributes()["equation"], shapes)
    if kind in _RECURRENT:
        return counting.recurrent(sum(math.prod(shapes[place]) for place in _RECURRENT[kind]), shapes[0])
    if kind == "ScaledDotProductAttention":
        return counting.attention(shapes[0], output, shapes[1][-2])
    return None


def constant(value: Any, handed: frozenset[str] = frozenset()) -> bool:
    """Whether no input changes what an operator takes: it is stored, or computed from what is stored.

    Args:
        value: what it takes.
        handed: the parameters of its body that are stored tensors, by their names, see `Inner`.
    """
    node = value.get_node()
    if node.get_type_name() in ("Constant", "Parameter", "ReadValue"):
        return bool(node.get_type_name() == "Constant") or node.get_friendly_name() in handed
    return node.get_input_size() > 0 and all(constant(each, handed) for each in node.input_values())


def size(value: Any) -> int:
    """How many numbers an operator takes; 0 where that is not known."""
    return math.prod(_shape(value) or (0,))


@dataclass(frozen=True)
class Inner:
    """An operator of a body.

    Attributes:
        op: the operator.
        times: how often it runs; None where that is unknown.
        handed: the parameters of its body that are stored tensors: a loop takes them, and hands them on as they are.
    """

    op: Any
    times: int | None
    handed: frozenset[str]


def inside(op: Any, handed: frozenset[str] = frozenset()) -> Iterator[Inner]:
    """The operators of the bodies that an operator runs.

    Args:
        op: the operator.
        handed: see `Inner`, of the body that it is in itself.
    """
    kind = op.get_type_name()
    if kind == "If":
        branches = [list(_every(op.get_function(place), 1, frozenset())) for place in (0, 1)]
        work = [sum((macs(each.op) or 0) * (each.times or 0) for each in branch) for branch in branches]
        most = work.index(max(work))
        for place, branch in enumerate(branches):
            yield from (each if place == most else replace(each, times=0) for each in branch)
    elif kind in ("Loop", "TensorIterator"):
        turns = op.get_num_iterations()
        yield from _every(op.get_function(), turns if turns > 0 else None, _handed_on(op, handed))


def _every(body: Any, turns: int | None, handed: frozenset[str]) -> Iterator[Inner]:
    for op in body.get_ordered_ops():
        if multiplies(op):
            yield Inner(op, turns, handed)
        for each in inside(op, handed):
            yield replace(each, times=None if turns is None or each.times is None else turns * each.times)


def _handed_on(op: Any, handed: frozenset[str]) -> frozenset[str]:
    """The parameters of a loop's body that are the same at each step, and stored."""
    body = op.get_function()
    parameters, results = body.get_parameters(), body.get_results()
    found = set()
    for each in op.get_input_descriptions():
        if type(each).__name__ == "SliceInputDescription" or not constant(op.input_value(each.input_index), handed):
            continue
        parameter, back = parameters[each.body_parameter_index], getattr(each, "body_value_index", None)
        if back is None or _origin(results[back]).get_friendly_name() == parameter.get_friendly_name():
            found.add(parameter.get_friendly_name())
    return frozenset(found)


def _origin(node: Any) -> Any:
    """What a result, or a copy, is of."""
    while node.get_type_name() in ("Result", "Identity"):
        node = node.input_value(0).get_node()
    return node


def _shape(value: Any) -> tuple[int, ...] | None:
    shape = value.get_partial_shape()
    return None if shape.is_dynamic else tuple(d.get_length() for d in shape)
