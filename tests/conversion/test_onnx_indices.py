from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from bitpick.conversion import onnx_indices

ROWS = 5


def model(nodes, constants, dtype=TensorProto.INT32):
    """Rows of a table, by indices that nodes compute from `x` as `i`."""
    table = np.arange(3 * ROWS, dtype=np.float32).reshape(ROWS, 3)
    graph = helper.make_graph(
        [*nodes, helper.make_node("Gather", ["table", "i"], ["y"], "gather")],
        "g",
        [helper.make_tensor_value_info("x", dtype, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [onnx.numpy_helper.from_array(v, k) for k, v in (constants | {"table": table}).items()],
    )
    found = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(found)
    return found


def wrapped():
    """As TensorFlow writes what a negative index means."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Less", ["f", "zero"], ["negative"]),
        helper.make_node("Not", ["negative"], ["positive"]),
        helper.make_node("Cast", ["negative"], ["n"], to=TensorProto.INT32),
        helper.make_node("Cast", ["positive"], ["p"], to=TensorProto.INT32),
        helper.make_node("Add", ["x", "rows"], ["up"]),
        helper.make_node("Mul", ["n", "up"], ["first"]),
        helper.make_node("Mul", ["p", "x"], ["second"]),
        helper.make_node("Add", ["first", "second"], ["i"]),
    ]
    return model(nodes, {"zero": np.array(0, np.float32), "rows": np.array(ROWS, np.int32)})


def test_what_a_gather_does_by_itself_is_left_to_it():
    found, before = wrapped(), wrapped()
    onnx_indices.simplify(found)
    gather = found.graph.node[-1]
    assert list(gather.input) == ["table", "x"]
    x = np.array([0, 4, -1, -5, 2], np.int32)
    first, second = (ReferenceEvaluator(each).run(None, {"x": x})[0] for each in (found, before))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("shift", "same"), [(ROWS, True), (0, True), (1, False), (-2 * ROWS, True)])
def test_only_indices_of_the_same_rows_are_taken(shift, same):
    found = model([helper.make_node("Add", ["x", "s"], ["i"])], {"s": np.array(shift, np.int32)})
    onnx_indices.simplify(found)
    assert (found.graph.node[-1].input[1] == "x") == same


def test_indices_that_are_not_computed_number_by_number_stay():
    nodes = [helper.make_node("Add", ["x", "s"], ["i"])]
    found = model(nodes, {"s": np.array([ROWS, 0], np.int32)})
    onnx_indices.simplify(found)
    assert found.graph.node[-1].input[1] == "i"
