from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from bitpick.engines.onnxruntime.graph import executed
from bitpick.measures import coverage
from bitpick.recipe import Recipe
from tests.engines.conftest import positions, save, sizes, weighted
from tests.engines.onnxruntime.graphs import ML, node, random, read, totals, write

STATIC = Recipe.parse("onnxruntime:s8u8-per_channel-minmax")


def test_looking_up_a_size_is_no_table(tmp_path):
    nodes = [node("Gather", "W x", "g"), helper.make_node("Relu", ["g"], ["y"])]
    assert totals(read(tmp_path, nodes, {"x": np.array([1])}, {"W": random(50)})) == (0, 0)


def test_a_weight_that_two_operators_share_counts_once_and_works_twice(tmp_path):
    nodes = [helper.make_node("MatMul", ["x", "W"], ["a"]), helper.make_node("MatMul", ["a", "W"], ["y"])]
    assert totals(read(tmp_path, nodes, {"x": random(1, 4)}, {"W": random(4, 4)})) == (16, 32)


def test_what_nobody_knows_is_listed_and_not_taken_for_nothing(tmp_path):
    trees = {
        "n_targets": 1, "nodes_falsenodeids": [0], "nodes_featureids": [0], "nodes_hitrates": [1.0],
        "nodes_missing_value_tracks_true": [0], "nodes_modes": ["LEAF"], "nodes_nodeids": [0], "nodes_treeids": [0],
        "nodes_truenodeids": [0], "nodes_values": [0.0], "target_ids": [0], "target_nodeids": [0],
        "target_treeids": [0], "target_weights": [1.0],
    }  # fmt: skip
    tree = helper.make_node("TreeEnsembleRegressor", ["d"], ["y"], "tree", domain=ML, **trees)
    dense = helper.make_node("MatMul", ["x", "W"], ["d"], "dense")
    found = coverage.coverage(read(tmp_path, [dense, tree], {"x": random(1, 3)}, {"W": random(3, 3)}))
    assert found.uncounted == ["TreeEnsembleRegressor tree"]


def branch(name, nodes, shape):
    output = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, shape)
    return helper.make_graph(nodes, name, [], [output])


@pytest.mark.parametrize("sign", [1, -1])
def test_of_an_if_the_branch_that_does_the_most_is_its_work_whichever_ran(tmp_path, sign):
    """Both branches have weights; which of them a sample takes does not change what the build is."""
    big = branch("big", [helper.make_node("MatMul", ["x", "W"], ["b"], "big")], [1, 6])
    twice = [helper.make_node("MatMul", ["x", "V"], ["s"], "small"), helper.make_node("MatMul", ["s", "U"], ["t"], "u")]
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["yes"]),
        helper.make_node("If", ["yes"], ["y"], then_branch=big, else_branch=branch("small", twice, [1, 6])),
    ]
    weights = {"W": random(3, 6), "V": random(3, 1), "U": random(1, 6), "zero": np.float32(0)}
    found = read(tmp_path, nodes, {"x": sign * np.ones((1, 3), np.float32)}, weights)
    assert totals(found) == (18 + 3 + 6, 18)
    assert coverage.coverage(found).uncounted == []
    assert {o.name for o in found.operators if o.multiplies} == {"big", "small", "u"}


def test_the_body_of_a_loop_works_as_often_as_it_runs(tmp_path):
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("MatMul", ["s", "W"], ["t"], "step"), helper.make_node("Identity", ["c"], ["d"])],
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("c", TensorProto.BOOL, []),
            value("s", TensorProto.FLOAT, [1, 3]),
        ],
        [value("d", TensorProto.BOOL, []), value("t", TensorProto.FLOAT, [1, 3])],
    )
    loop = helper.make_node("Loop", ["trips", "", "x"], ["y"], "loop", body=body)
    found = read(tmp_path, [loop], {"x": random(1, 3)}, {"W": random(3, 3), "trips": np.array(7)})
    assert totals(found) == (9, 7 * 9)
    assert coverage.failure(STATIC, found) == "no part of this build runs as integers: the runtime executes MatMul step"


def test_the_body_of_a_scan_works_at_each_step(tmp_path):
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("MatMul", ["e", "W"], ["m"], "step"), helper.make_node("Add", ["m", "s"], ["t"]),
         helper.make_node("Identity", ["t"], ["o"])],
        "body",
        [value("s", TensorProto.FLOAT, [3]), value("e", TensorProto.FLOAT, [4])],
        [value("t", TensorProto.FLOAT, [3]), value("o", TensorProto.FLOAT, [3])],
    )  # fmt: skip
    scan = helper.make_node("Scan", ["zero", "x"], ["last", "y"], "scan", body=body, num_scan_inputs=1)
    weights = {"W": random(4, 3), "zero": np.zeros(3, np.float32)}
    assert totals(read(tmp_path, [scan], {"x": random(6, 4)}, weights)) == (12, 6 * 12)


def test_integer_weights_of_a_recurrent_operator_are_integers(tmp_path):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    made, x = node("LSTM", "x W R b", hidden_size=2, direction="bidirectional"), random(5, 1, 3)
    weights = {"W": random(2, 8, 3), "R": random(2, 8, 2), "b": random(2, 16)}
    size = 2 * 8 * (3 + 2)
    path = write(tmp_path, [made], {"x": x}, weights)
    quantize_dynamic(path, tmp_path / "small.onnx", weight_type=QuantType.QInt8)
    found = executed(tmp_path / "small.onnx", {}, (x,))
    shares = coverage.coverage(found)
    assert (totals(found), shares.macs, shares.weights) == ((size, 5 * size), 1.0, 1.0)
    assert coverage.flags(Recipe.parse("onnxruntime:s8dynamic"), found, "s8") == []


@pytest.mark.parametrize("first", [True, False])
def test_a_stored_operand_in_front_runs_as_integers_where_the_runtime_has_it_so(tmp_path, first):
    """A product of integers, whichever side of it is stored."""
    weights = {"W": np.full((5, 5), 3, np.int8), "s": np.float32(0.1), "z": np.int8(0), "p": np.uint8(128)}
    sides = "W s z q s p" if first else "q s p W s z"
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "p"], ["q"]),
        node("QLinearMatMul", f"{sides} s p", "r"),
        helper.make_node("DequantizeLinear", ["r", "s", "p"], ["y"]),
    ]
    if first:  # the runtime has no product of signed with unsigned numbers
        weights["W"], weights["z"] = np.full((5, 5), 131, np.uint8), np.uint8(128)
    (product,) = read(tmp_path, nodes, {"x": random(1, 5, 5)}, weights).operators
    assert (product.integer, product.weights, product.macs) == (True, 25, 125)
    assert product.activation.symmetric
    assert product.weight.dtype == ("u8" if first else "s8")


@pytest.mark.parametrize(("channels", "granularity"), [(1, None), (5, "per_tensor")])
def test_one_channel_has_no_granularity(tmp_path, channels, granularity):
    weights = {"W": np.full((3, channels), 127, np.int8), "s": np.float32(0.1), "z": np.int8(0), "p": np.uint8(128)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "p"], ["q"]),
        node("QLinearMatMul", "q s p W s z s p", "r"),
        helper.make_node("DequantizeLinear", ["r", "s", "p"], ["y"]),
    ]
    found = read(tmp_path, nodes, {"x": random(1, 3)}, weights)
    assert found.operators[0].weight.granularity == granularity
    flagged = coverage.flags(STATIC, found, "s8")
    assert [flag.code for flag in flagged] == ([] if channels == 1 else ["not_as_requested"])


def of_image(path):
    """What ONNX Runtime executes of a file that takes an image."""
    return executed(path, {}, (np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3)).astype(np.float32),))


@pytest.mark.parametrize("axes", [2, 3])
def test_a_product_with_a_vector_at_each_position_works_at_every_position(tmp_path, axes):
    assert sizes(of_image(positions(tmp_path / "vectors.onnx", axes))) == [(3 * 12, 3 * 12 * 64)]


def test_an_activation_is_what_goes_into_a_product_not_what_comes_out(tmp_path):
    nodes = [
        helper.make_node("Transpose", ["image"], ["x"], "first", perm=[0, 3, 1, 2]),
        helper.make_node("QuantizeLinear", ["x", "scale", "middle"], ["q"], "round"),
        helper.make_node("QLinearConv", ["q", "scale", "middle", "w", "scale", "zero", "scale", "five"], ["y"], "conv"),
        helper.make_node("DequantizeLinear", ["y", "scale", "five"], ["z"], "turn"),
        helper.make_node("GlobalAveragePool", ["z"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["scores"], "flat"),
    ]
    weights = {name: np.uint8(value) for name, value in (("middle", 128), ("five", 5))}
    weights |= {"scale": np.float32(0.5), "zero": np.int8(0), "w": np.full((12, 3, 8, 8), 127, np.int8)}
    (product,) = weighted(of_image(save(tmp_path / "ends.onnx", nodes, weights)))
    assert (product.name, product.integer, product.activation.symmetric) == ("conv", True, True)


def test_a_transposed_convolution_works_once_for_each_input_position(tmp_path):
    nodes = [
        helper.make_node("Transpose", ["image"], ["x"], "first", perm=[0, 3, 1, 2]),
        helper.make_node("ConvTranspose", ["x", "w"], ["y"], "up", strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["y"], ["z"], "pool"),
        helper.make_node("Flatten", ["z"], ["scores"], "flat"),
    ]
    path = save(tmp_path / "up.onnx", nodes, {"w": np.ones((3, 12, 2, 2), np.float32)})
    assert sizes(of_image(path)) == [(3 * 12 * 2 * 2, 3 * 12 * 2 * 2 * 8 * 8)]


@pytest.mark.parametrize("kind", ["Mul", "BatchNormalization"])
def test_a_scale_of_each_channel_that_runs_as_a_convolution_is_no_product(tmp_path, kind):
    rng, scale = np.random.default_rng(0), np.linspace(0.5, 2, 16, dtype=np.float32)
    weights = {"w": rng.normal(size=(16, 3, 1, 3)), "d": rng.normal(size=(16, 12)), "s": scale}
    if kind == "Mul":
        weights["s"], given = scale.reshape(16, 1, 1), ["s", "z"]
    else:
        weights, given = weights | dict.fromkeys(("shift", "mean", "variance"), scale), ["z", "s"]
        given += ["shift", "mean", "variance"]
    nodes = [
        helper.make_node("Transpose", ["image"], ["x"], "first", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["x", "w"], ["y"], "conv"),
        helper.make_node("MaxPool", ["y"], ["z"], "pool", kernel_shape=[2, 2]),
        helper.make_node(kind, given, ["u"], "scaled"),
        helper.make_node("GlobalAveragePool", ["u"], ["v"], "mean"),
        helper.make_node("Flatten", ["v"], ["f"], "flat"),
        helper.make_node("MatMul", ["f", "d"], ["scores"], "dense"),
    ]
    stored = {name: np.asarray(values, np.float32) for name, values in weights.items()}
    executed = of_image(save(tmp_path / "scaled.onnx", nodes, stored))
    assert sizes(executed) == [(16 * 3 * 3, 16 * 3 * 3 * 8 * 6), (16 * 12, 16 * 12)]


def test_a_name_with_the_optimisers_mark_in_it_is_whole(tmp_path):
    nodes = [
        helper.make_node("Flatten", ["image"], ["x"], "flat"),
        helper.make_node("MatMul", ["x", "w"], ["scores"], "class_token_mix"),
    ]
    path = save(tmp_path / "token.onnx", nodes, {"w": np.ones((192, 12), np.float32)})
    assert [o.name for o in of_image(path).operators] == ["class_token_mix"]


def test_arithmetic_on_shapes_is_neither_float_nor_quantized(tmp_path):
    nodes = [
        helper.make_node("Flatten", ["image"], ["x"], "flat"),
        helper.make_node("MatMul", ["x", "w"], ["y"], "dense"),
        helper.make_node("Shape", ["image"], ["shape"], "shape"),
        helper.make_node("ReduceProd", ["shape"], ["count"], "count", axes=[0], keepdims=1),
        helper.make_node("Cast", ["count"], ["factor"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["y", "factor"], ["scores"], "scale"),
    ]
    weights = {"w": np.ones((192, 12), np.float32)}
    executed = of_image(save(tmp_path / "shapes.onnx", nodes, weights))
    assert coverage.coverage(executed).float_operators == ["MatMul dense", "Mul scale"]
    assert coverage.flags(Recipe.parse("onnxruntime:float32"), executed, "float32") == []
