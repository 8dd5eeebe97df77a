from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from bitpick.conversion.onnx_names import layer_names, rename

steps = st.lists(st.sampled_from(["a", "b", "Conv", "Relu"]), min_size=1, max_size=4)


@given(
    st.lists(st.tuples(steps.map("/".join), st.sampled_from(["Conv", "Relu", "Gemm", "Add"])), min_size=1, max_size=12)
)
def test_layer_names_are_unique_and_not_empty(nodes):
    names = layer_names(nodes)
    assert len(names) == len(nodes) == len(set(names))
    assert all(names)


@st.composite
def graphs(draw):
    """Chains of element-wise nodes, each with a weight, whose names collide as often as they can."""
    names = st.sampled_from(
        ["a", "b", "a/b", "a/weight", "a.constant1", "in", "out", "net/a/Add", "net/a/Mul", "net/b/Add", ""]
    )
    count = draw(st.integers(1, 6))
    tensors = draw(st.lists(st.text("ab./_1", min_size=1, max_size=4), min_size=count, max_size=count, unique=True))
    tensors = [f"t:{name}" for name in tensors[:-1]] + ["out"]
    nodes, weights, read = [], [], "in"
    for i, tensor in enumerate(tensors):
        weights.append(onnx.numpy_helper.from_array(np.float32(i + 2).reshape(1), f"w{i}"))
        nodes.append(helper.make_node(draw(st.sampled_from(["Add", "Mul"])), [read, f"w{i}"], [tensor], draw(names)))
        read = tensor
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("in", "out")]
    graph = helper.make_graph(nodes, "g", value[:1], value[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@given(graphs())
def test_a_renamed_graph_is_valid_and_computes_the_same(model):
    renamed = copy.deepcopy(model)
    names = rename(renamed)
    onnx.checker.check_model(renamed, full_check=True)
    x = np.array([[1, 2], [3, 4]], np.float32)
    before, after = (ReferenceEvaluator(m).run(None, {"in": x})[0] for m in (model, renamed))
    assert np.array_equal(before, after)
    assert len(names) == len(set(names.values()))
    assert [v.name for v in (*renamed.graph.input, *renamed.graph.output)] == ["in", "out"]


@pytest.mark.parametrize("output", ["dense", "dense.weight", "dense.bias"])
def test_an_output_may_be_called_like_a_layer(output):
    """tf2onnx names the output of a legacy file after the last layer."""
    weights = [
        onnx.numpy_helper.from_array(np.ones((3, 2), np.float32), "model/dense/kernel"),
        onnx.numpy_helper.from_array(np.ones(2, np.float32), "model/dense/bias"),
    ]
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], "model/act/Relu"),
        helper.make_node("Gemm", ["r", "model/dense/kernel", "model/dense/bias"], ["g"], "model/dense/MatMul"),
        helper.make_node("Softmax", ["g"], [output], "model/dense/Softmax"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", 2])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    rename(model)
    onnx.checker.check_model(model, full_check=True)
    assert model.graph.output[0].name == output
