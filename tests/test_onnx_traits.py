from __future__ import annotations

import pytest
from onnx import TensorProto, helper

from bitpick.onnx_traits import Traits, of_model, traits


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


def test_half_precision_is_known_by_inputs_and_by_weights():
    assert not of_model(model()).half
    assert of_model(model(elements=TensorProto.FLOAT16)).half
    weight = helper.make_tensor("w", TensorProto.FLOAT16, [1], [1.0])
    assert of_model(model(stored=[weight])).half


@pytest.mark.parametrize(
    ("inputs", "outputs", "batched"),
    [
        ((["n", 4],), (["n", 2],), True),
        (([1, 4],), ([1, 2],), True),
        (([8, 4], [8, 3]), ([8, 2],), True),
        (([1, 4],), ([1],), True),
        (([3, 32, 32],), ([10],), False),
        (([4],), ([2],), False),
        (([4],), ([4],), False),
        (([8, 4], [3]), ([8, 2],), False),
        (([],), ([2],), False),
    ],
)
def test_whether_there_is_a_batch_axis(inputs, outputs, batched):
    assert of_model(model(inputs=inputs, outputs=outputs)).batched is batched
