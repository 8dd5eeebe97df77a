from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bitpick.conversion import onnx_file, onnx_precision


def model(kind):
    """Weights, a constant, a cast and a branch, all of one float type."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)

    def stored(name, value):
        return numpy_helper.from_array(np.asarray(value).astype(dtype), name)

    branches = {}
    for name, factor in (("then_branch", 2.0), ("else_branch", 3.0)):
        nodes = [helper.make_node("Mul", ["b", "f"], ["m"])]
        output = [helper.make_tensor_value_info("m", kind, ["n", 2])]
        branches[name] = helper.make_graph(nodes, name, [], output, [stored("f", factor)])
    nodes = [
        helper.make_node("Constant", [], ["c"], value=stored("c", 0.5)),
        helper.make_node("Mul", ["x", "w"], ["a"]),
        helper.make_node("Cast", ["a"], ["b0"], to=kind),
        helper.make_node("Add", ["b0", "c"], ["b"]),
        helper.make_node("If", ["yes"], ["y"], **branches),
    ]
    ends = [helper.make_tensor_value_info(name, kind, ["n", 2]) for name in ("x", "y")]
    weights = [stored("w", [1.0, 2.0]), numpy_helper.from_array(np.array(True), "yes")]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE])
def test_every_float_becomes_float32(kind):
    made = model(kind)
    onnx_precision.to_float32(made)
    onnx.checker.check_model(made, full_check=True)
    x = np.array([[1, 2], [3, 4]], np.float32)
    (found,) = onnx_file.run(made, [x])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, 2 * (x * [1, 2] + 0.5))


def test_only_the_type_that_is_asked_for_is_replaced():
    made = model(TensorProto.FLOAT16)
    onnx_precision.widen(made, TensorProto.FLOAT, TensorProto.DOUBLE)
    assert made == model(TensorProto.FLOAT16)
