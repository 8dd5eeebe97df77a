from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bitpick.passes.graphs import Graph, attributes, shapes


def value(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def stored(name, *numbers):
    return onnx.numpy_helper.from_array(np.array(numbers, np.float32), name)


@pytest.fixture
def model():
    """y = relu(x + w) + w; an If reads y in a branch, and r is an output as well."""
    branch = helper.make_graph(
        [helper.make_node("Neg", ["y"], ["out"], "negate")], "branch", [], [value("out", "n", 2)]
    )
    nodes = [
        helper.make_node("Add", ["x", "w"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["r"], "relu"),
        helper.make_node("Add", ["r", "w"], ["y"], "second"),
        helper.make_node("Mul", ["y", "v"], ["inner"], "third"),
        helper.make_node("Mul", ["inner", "inner"], ["square"], "square"),
        helper.make_node("If", ["c"], ["z"], "if", then_branch=branch, else_branch=branch),
        helper.make_node("Sigmoid", ["square"], ["s"], "sigmoid"),
    ]
    initializers = [stored("w", 1, 2), stored("v", 3, 4), onnx.numpy_helper.from_array(np.array(True), "c")]
    outputs = [value("r", "n", 2), value("z", "n", 2), value("s", "n", 2)]
    graph = helper.make_graph(nodes, "g", [value("x", "n", 2)], outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_who_makes_and_who_reads_a_tensor(model):
    graph = Graph(model)
    assert graph.makers["r"].name == "relu"
    assert [node.name for node in graph.readers["w"]] == ["first", "second"]
    assert "x" not in graph.makers


@pytest.mark.parametrize(
    ("tensor", "reader"),
    [
        ("a", "relu"),
        ("square", "sigmoid"),
        ("y", None),  # read in a branch, too
        ("r", None),  # an output, too
        ("inner", None),  # read twice
        ("w", None),
        ("s", None),
        ("nowhere", None),
    ],
)
def test_a_tensor_has_one_reader_where_nothing_else_can_see_it(model, tensor, reader):
    found = Graph(model).only_reader(tensor)
    assert (found.name if found else None) == reader


def test_a_constant_is_owned_by_the_one_node_that_reads_it(model):
    graph = Graph(model)
    first, third = graph.makers["a"], graph.makers["inner"]
    assert graph.owned(third, 1)
    assert not graph.owned(third, 0)  # computed
    assert not graph.owned(first, 1)  # another node reads it, too
    assert not graph.owned(first, 2)  # there is no such input


def test_constants_are_read_and_replaced(model):
    graph = Graph(model)
    assert graph.constant("w").tolist() == [1, 2]
    assert graph.constant("x") is None
    graph.store("w", np.array([[5, 6], [7, 8]], np.float32).T)
    graph.store("new", np.array([9], np.float32))
    graph.store("new", np.array([10], np.float32))
    assert graph.constant("w").tolist() == [[5, 7], [6, 8]]
    assert graph.constant("new").tolist() == [10]
    assert [each.name for each in model.graph.initializer] == ["w", "v", "c", "new"]


def test_attributes_are_values():
    node = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 3], auto_pad="VALID", ceil_mode=1)
    assert attributes(node) == {"kernel_shape": [2, 3], "auto_pad": b"VALID", "ceil_mode": 1}
    assert attributes(helper.make_node("Relu", ["x"], ["y"])) == {}


def test_shapes_are_those_of_every_tensor_with_none_for_a_free_axis(model):
    found = shapes(model)
    assert all(found[name] == [None, 2] for name in ("x", "a", "y", "s"))
