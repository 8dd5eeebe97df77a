"""Each format that users bring: what the clean graph computes is what the framework that wrote the file computes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.conversion.formats import clean, source_of

pytestmark = pytest.mark.frameworks


def test_a_net_in_two_frameworks_has_one_clean_graph(pool, programs, tmp_path):
    """The same operators on the same weights. What differs says the same in other words:

    the two axes left by pooling go by a Squeeze or by a Reshape; the weights of a Gemm are stored as they are or
    transposed; the last axis is -1 or 1; an attribute is written out or left to its default.
    """
    graphs = []
    for name in ("keras", "program"):
        folder = tmp_path / name
        folder.mkdir()
        graphs.append(onnx.load(clean(pool, source_of(programs, name), programs / "inputs.npz", folder)).graph)
    for first, second in zip(*(graph.node for graph in graphs), strict=True):
        sides = [plain(first, graphs[0]), plain(second, graphs[1])]
        kinds = {side[0] for side in sides}
        assert len(kinds) == 1 or kinds == {"Squeeze", "Reshape"}
        assert sides[0][1] == sides[1][1], first.name
        for ours, theirs in zip(sides[0][2], sides[1][2], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


def plain(node: onnx.NodeProto, graph: onnx.GraphProto) -> tuple[str, dict, list[np.ndarray]]:
    """A node's operator, attributes and weights, in one way of saying it."""
    stored = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    weights = [stored[name] for name in node.input if name in stored]
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type in ("Squeeze", "Reshape"):
        weights = []
    if node.op_type == "Conv":
        given.setdefault("pads", [0, 0, 0, 0])
    if node.op_type == "Gemm" and given.pop("transB"):
        weights[0] = weights[0].T
    if given.get("axis") == -1:
        given["axis"] = 1
    return node.op_type, given, weights
