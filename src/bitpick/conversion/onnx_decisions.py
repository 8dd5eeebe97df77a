"""Find out whether the values of an ONNX graph's inputs decide which branch runs, or when a loop ends.

Such a decision is made once for all samples in a batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from bitpick.conversion import onnx_passes

if TYPE_CHECKING:
    import onnx

_OF_SHAPES = ("Shape", "Size")  # their outputs do not depend on values


def decides(nodes: Iterable[onnx.NodeProto], inputs: Collection[str]) -> bool:
    """Return whether the values of the inputs decide anything.

    Args:
        nodes: the nodes of the graph, in an order in which they can run.
        inputs: the names of the graph's inputs.
    """
    return _follow(nodes, set(inputs))[1]


def _follow(nodes: Iterable[onnx.NodeProto], inputs: set[str]) -> tuple[set[str], bool]:
    """Return the tensors that depend on the values of the inputs, and whether any of them decides something."""
    dependent = set(inputs)
    for node in nodes:
        if node.op_type == "Loop":
            decided = _loop_decides(node, dependent)
        else:
            decided = node.op_type == "If" and node.input[0] in dependent
            for body in onnx_passes.subgraphs(node):
                inner = {value.name for value in body.input} if dependent.intersection(node.input) else set()
                decided = decided or _follow(body.node, dependent | inner)[1]
        if decided:
            return dependent, True
        if node.op_type not in _OF_SHAPES and dependent & onnx_passes.reads(node):
            dependent.update(node.output)
    return dependent, False


def _loop_decides(node: onnx.NodeProto, dependent: set[str]) -> bool:
    """Return whether the values of the inputs decide when a loop ends, or anything inside it."""
    (body,) = onnx_passes.subgraphs(node)
    states, ends = [value.name for value in body.input][2:], [value.name for value in body.output]
    inner = dependent | {state for state, start in zip(states, node.input[2:], strict=True) if start in dependent}
    while True:
        reached, decided = _follow(body.node, inner)
        new_states = {state for state, end in zip(states, ends[1:], strict=False) if end in reached} - inner
        if decided or not new_states:
            return decided or ends[0] in reached or bool(dependent.intersection(node.input[:2]))
        inner |= new_states
