"""Whether an ONNX graph decides by the numbers that it is given which branch to take, or when to end a loop.

It decides once for all samples in a batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from bitpick.conversion import onnx_passes

if TYPE_CHECKING:
    import onnx

_OF_SHAPES = ("Shape", "Size")  # what they give depends on no number


def decides(nodes: Iterable[onnx.NodeProto], inputs: Collection[str]) -> bool:
    """Whether anything is decided by numbers.

    Args:
        nodes: of the graph, in an order in which they can run.
        inputs: the names of what it is given.
    """
    return _followed(nodes, set(inputs))[1]


def _followed(nodes: Iterable[onnx.NodeProto], given: set[str]) -> tuple[set[str], bool]:
    """The tensors that depend on numbers that are given, and whether any of them decides something."""
    found = set(given)
    for node in nodes:
        if node.op_type == "Loop":
            decided = _of_loop(node, found)
        else:
            decided = node.op_type == "If" and node.input[0] in found
            for body in onnx_passes.subgraphs(node):
                inner = {each.name for each in body.input} if found.intersection(node.input) else set()
                decided = decided or _followed(body.node, found | inner)[1]
        if decided:
            return found, True
        if node.op_type not in _OF_SHAPES and found & onnx_passes.reads(node):
            found.update(node.output)
    return found, False


def _of_loop(node: onnx.NodeProto, found: set[str]) -> bool:
    """Whether a loop ends by numbers that are given, or something in it is decided by them."""
    (body,) = onnx_passes.subgraphs(node)
    states, ends = [each.name for each in body.input][2:], [each.name for each in body.output]
    inner = found | {state for state, start in zip(states, node.input[2:], strict=True) if start in found}
    while True:
        known, decided = _followed(body.node, inner)
        more = {state for state, end in zip(states, ends[1:], strict=False) if end in known} - inner
        if decided or not more:
            return decided or ends[0] in known or bool(found.intersection(node.input[:2]))
        inner |= more
