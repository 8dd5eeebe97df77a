from __future__ import annotations

import pytest
from onnx import TensorProto, helper

from bitpick.models.onnx_traits import Traits, batch_axes, of_model, traits


def model(operator="Relu", inputs=(["n", 4],), outputs=(["n", 4],), elements=TensorProto.FLOAT, stored=()):
    graph = helper.make_graph(
        [helper.make_node(operator, ["x0"], ["y0"], "node")],
        "g",
        [helper.make_tensor_value_info(f"x{i}", elements, shape) for i, shape in enumerate(inputs)],
        [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, shape) for i, shape in enumerate(outputs)],
        list(stored),
    )
    return helper.make_model(graph)


def quantized(operator: str) -> bool:
    return of_model(model(operator)).quantized == ("node",)


@pytest.mark.parametrize(
    "operator", ["DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QGemm", "DynamicQuantizeMatMul"]
)
def test_every_kind_of_quantized_operator_is_known_as_one(operator):
    assert quantized(operator)


@pytest.mark.parametrize("operator", ["Conv", "Gemm", "MatMul", "Quick", "Sequence"])
def test_a_float_operator_is_not_taken_for_one(operator):
    assert not quantized(operator)


def test_what_cannot_be_parsed_has_none(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"no protobuf \xff\xff")
    assert traits(tmp_path / "m.onnx") == Traits()


def test_other_floats_are_known_by_inputs_and_by_weights():
    assert of_model(model()).floats == ()
    assert of_model(model(elements=TensorProto.FLOAT16)).floats == ("float16",)
    weights = [
        helper.make_tensor("w", TensorProto.DOUBLE, [1], [1.0]),
        helper.make_tensor("i", TensorProto.INT64, [1], [1]),
    ]
    assert of_model(model(stored=weights)).floats == ("float64",)


@pytest.mark.parametrize(
    ("inputs", "outputs", "axes"),
    [
        ([["n", 4]], [["n", 2]], [0]),
        ([[None, 4], [None]], [[None, 2]], [0, 0]),
        ([["n", 8], [2, "n", 8]], [["n", 8]], [0, 1]),
        ([[None, 8], [2, None, 8]], [[None, 8]], [0, 1]),
        ([["n", 8], [3, "steps"], []], [["n", 8]], [0, None, None]),
        ([["n", "steps"], ["n", "steps"]], [["n", 2]], [0, 0]),
        ([[16, "n", 12]], [["n", 3]], [1]),
        ([[1, "steps"]], [["steps"]], [0]),
        ([[1, 4]], [[1, 2]], [0]),
        ([[1, 4], [1, 3]], [[7]], [0, 0]),
        ([[8, 4], [8, 3]], [[8, 2]], [0, 0]),
        ([[3, 32, 32]], [[10]], [None]),
        ([[4]], [[2]], [None]),
        ([[4]], [[4]], [None]),
        ([[8, 4], [3]], [[8, 2]], [None, None]),
        ([[1, 512], [2, 1, 128]], [[1, 1]], [None, None]),
        ([[]], [[2]], [None]),
        ([], [[2]], []),
    ],
)
def test_where_the_batch_is_by_what_is_declared(inputs, outputs, axes):
    assert batch_axes(inputs, outputs) == axes


def test_its_signature_leaves_the_batch_out_and_takes_what_is_not_above_zero_for_free():
    found = of_model(model(inputs=([2, "n", 8], ["n", -1], [0, 3]), outputs=(["n", 0],))).signature
    assert [tensor.shape for tensor in found.inputs] == [(2, 8), (None,), (3,)]
    assert found.outputs[0].shape == (None,)
    assert found.inputs[0].dtype == "float32"
