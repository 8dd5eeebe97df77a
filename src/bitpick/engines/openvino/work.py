"""The work of OpenVINO operators: which operands are weights, and how many multiply-accumulates."""

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
# Operators that multiply and sum, with the positions of their weights; at any of these, the operand may be stored.
MULTIPLIES: Mapping[str, tuple[int, ...]] = {
    **{name: (place,) for name, place in _CONVOLUTIONS.items()},
    **dict.fromkeys(_TRANSPOSED, (1,)),
    "MatMul": (1, 0),
    **_RECURRENT,
    "ScaledDotProductAttention": (),
    "BinaryConvolution": (1,),
}
# Operators that look up rows, with the position of the table.
TABLES: Mapping[str, int] = {
    "Gather": 0, "GatherND": 0, "EmbeddingBagOffsetsSum": 0, "EmbeddingBagPackedSum": 0, "EmbeddingSegmentsSum": 0,
}  # fmt: skip


def places(op: Any) -> tuple[int, ...]:
    """Return the positions of the operands that may be stored."""
    return tuple(range(op.get_input_size())) if op.get_type_name() == "Einsum" else MULTIPLIES[op.get_type_name()]


def multiplies(op: Any) -> bool:
    """Return whether an operator multiplies and sums."""
    return op.get_type_name() == "Einsum" or op.get_type_name() in MULTIPLIES


def macs(op: Any) -> int | None:
    """Return the multiply-accumulates of one call of an operator; None if a shape or the formula is unknown."""
    kind, inputs, output = op.get_type_name(), list(map(_shape, op.input_values())), _shape(op.output(0))
    if output is None or None in inputs:
        return None
    shapes = [each for each in inputs if each is not None]
    if kind in _CONVOLUTIONS:
        return counting.convolution(shapes[_CONVOLUTIONS[kind]], output, output[1])
    if kind in _TRANSPOSED:
        return counting.transposed_convolution(shapes[1], shapes[0], shapes[0][1])
    if kind == "MatMul":
        transposed = op.get_attributes()["transpose_b"] or len(shapes[1]) == 1
        return counting.product(output, shapes[1][-1 if transposed else -2])
    if kind == "Einsum":
        return counting.einsum(op.get_attributes()["equation"], shapes)
    if kind in _RECURRENT:
        return counting.recurrent(sum(math.prod(shapes[place]) for place in _RECURRENT[kind]), shapes[0])
    if kind == "ScaledDotProductAttention":
        return counting.attention(shapes[0], output, shapes[1][-2])
    return None


def constant(value: Any, invariants: frozenset[str] = frozenset()) -> bool:
    """Return whether an operand is constant: stored, or computed from stored tensors only.

    Args:
        value: the operand.
        invariants: names of the subgraph's parameters that are stored tensors, see `Inner`.
    """
    node = value.get_node()
    if node.get_type_name() in ("Constant", "Parameter", "ReadValue"):
        return bool(node.get_type_name() == "Constant") or node.get_friendly_name() in invariants
    return node.get_input_size() > 0 and all(constant(each, invariants) for each in node.input_values())


def size(value: Any) -> int:
    """Return the number of elements of an operand; 0 if unknown."""
    return math.prod(_shape(value) or (0,))


@dataclass(frozen=True)
class Inner:
    """An operator of a subgraph.

    Attributes:
        op: the operator.
        times: how often it runs; None if unknown.
        invariants: names of the subgraph's parameters that are stored tensors: the loop passes them on unchanged.
    """

    op: Any
    times: int | None
    invariants: frozenset[str]


def inside(op: Any, invariants: frozenset[str] = frozenset()) -> Iterator[Inner]:
    """Yield the operators of the subgraphs that an operator runs.

    Args:
        op: the operator.
        invariants: the invariants of the subgraph that contains the operator, see `Inner`.
    """
    kind = op.get_type_name()
    if kind == "If":
        branches = [list(_operators(op.get_function(place), 1, frozenset())) for place in (0, 1)]
        work = [sum((macs(each.op) or 0) * (each.times or 0) for each in branch) for branch in branches]
        largest = work.index(max(work))
        for place, branch in enumerate(branches):
            yield from (each if place == largest else replace(each, times=0) for each in branch)
    elif kind in ("Loop", "TensorIterator"):
        turns = op.get_num_iterations()
        yield from _operators(op.get_function(), turns if turns > 0 else None, _loop_invariants(op, invariants))


def _operators(body: Any, turns: int | None, invariants: frozenset[str]) -> Iterator[Inner]:
    for op in body.get_ordered_ops():
        if multiplies(op):
            yield Inner(op, turns, invariants)
        for inner in inside(op, invariants):
            yield replace(inner, times=None if turns is None or inner.times is None else turns * inner.times)


def _loop_invariants(op: Any, invariants: frozenset[str]) -> frozenset[str]:
    """Return the names of the parameters of a loop's body that are stored and never change."""
    body = op.get_function()
    parameters, results = body.get_parameters(), body.get_results()
    names = set()
    for each in op.get_input_descriptions():
        if type(each).__name__ == "SliceInputDescription" or not constant(op.input_value(each.input_index), invariants):
            continue
        parameter, result_index = parameters[each.body_parameter_index], getattr(each, "body_value_index", None)
        if result_index is None or _origin(results[result_index]).get_friendly_name() == parameter.get_friendly_name():
            names.add(parameter.get_friendly_name())
    return frozenset(names)


def _origin(node: Any) -> Any:
    """Return the node behind a result or a copy."""
    while node.get_type_name() in ("Result", "Identity"):
        node = node.input_value(0).get_node()
    return node


def _shape(value: Any) -> tuple[int, ...] | None:
    shape = value.get_partial_shape()
    return None if shape.is_dynamic else tuple(d.get_length() for d in shape)
