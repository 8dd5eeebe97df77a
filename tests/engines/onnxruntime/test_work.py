"""Each operator of ONNX and of ONNX Runtime, run alone: its weights and its work are counted by hand beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bitpick.engines.onnxruntime import work
from bitpick.engines.onnxruntime.graph import executed
from bitpick.measures import coverage
from bitpick.recipe import Recipe

RNG = np.random.default_rng(0)
MICROSOFT, ML = "com.microsoft", "ai.onnx.ml"
STATIC = Recipe.parse("onnxruntime:s8u8-per_channel-minmax")


def random(*shape, dtype=np.float32):
    return RNG.normal(size=shape).astype(dtype)


def write(folder: Path, nodes, sample, weights, outputs=("y",), opset=17) -> Path:
    """An ONNX file of some nodes, all of whose axes are free: only a run tells shapes."""
    kinds = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in sample.items()}
    free = {name: [f"{name}{axis}" for axis in range(array.ndim)] for name, array in sample.items()}
    inputs = [helper.make_tensor_value_info(name, kinds[name], axes) for name, axes in free.items()]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    stored = [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "one", inputs, given, stored)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1), helper.make_opsetid(ML, 3)]
    path = folder / "one.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def read(folder, nodes, sample, weights, settings=None, **more):
    """What ONNX Runtime executes for some nodes."""
    return executed(write(folder, nodes, sample, weights, **more), settings or {}, tuple(sample.values()))


def totals(found):
    return sum(o.weights for o in found.operators), sum(o.macs for o in found.operators)


def node(kind, inputs="x W", outputs="y", **attributes):
    return helper.make_node(kind, inputs.split(" "), outputs.split(" "), "it", **attributes)


X4, X3 = random(1, 4, 6, 6), random(5, 1, 3)
# Each with what goes in, what is stored, and its weights and multiply-accumulates.
OPERATORS = {
    "Conv": (node("Conv", kernel_shape=[3, 3]), X4, {"W": random(8, 4, 3, 3)}, 288, 288 * 16),
    "grouped Conv": (node("Conv", group=2, pads=[1] * 4), X4, {"W": random(8, 2, 3, 3)}, 144, 144 * 36),
    "depthwise Conv": (node("Conv", group=4), X4, {"W": random(4, 1, 3, 3)}, 36, 36 * 16),
    "one channel Conv": (node("Conv"), X4, {"W": random(1, 4, 1, 1)}, 4, 4 * 36),
    "ConvTranspose": (node("ConvTranspose", strides=[2, 2]), X4, {"W": random(4, 8, 2, 2)}, 128, 128 * 36),
    "grouped ConvTranspose": (node("ConvTranspose", group=2), X4, {"W": random(4, 4, 3, 3)}, 144, 144 * 36),
    "MatMul": (node("MatMul"), random(1, 7, 3), {"W": random(3, 5)}, 15, 15 * 7),
    "MatMul, stored first": (node("MatMul", "W x"), random(1, 3, 7), {"W": random(5, 3)}, 15, 15 * 7),
    "MatMul in batches": (node("MatMul"), random(2, 7, 3), {"W": random(2, 3, 5)}, 30, 30 * 7),
    "MatMul of a vector": (node("MatMul"), random(1, 7, 3), {"W": random(3)}, 3, 3 * 7),
    "MatMul of itself": (node("MatMul", "x x"), random(1, 6, 6), {}, 0, 6 * 6 * 6),
    "Gemm": (node("Gemm", "x W b", transB=1), random(1, 3), {"W": random(5, 3), "b": random(5)}, 15, 15),
    "Gemm, stored first": (node("Gemm", "W x", transB=1), random(1, 3), {"W": random(5, 3)}, 15, 15),
    "Einsum": (node("Einsum", "W x", equation="hi,nij->nhj"), random(1, 3, 7), {"W": random(5, 3)}, 15, 15 * 7),
    "LSTM": (
        node("LSTM", "x W R b", hidden_size=2, direction="bidirectional"),
        X3,
        {"W": random(2, 8, 3), "R": random(2, 8, 2), "b": random(2, 16)},
        2 * 8 * (3 + 2),
        5 * 2 * 8 * (3 + 2),
    ),
    "GRU": (node("GRU", "x W R", hidden_size=2), X3, {"W": random(1, 6, 3), "R": random(1, 6, 2)}, 30, 5 * 30),
    "RNN": (node("RNN", "x W R", hidden_size=2), X3, {"W": random(1, 2, 3), "R": random(1, 2, 2)}, 10, 5 * 10),
    "Attention inside": (
        node("Attention", "x W b", num_heads=2, domain=MICROSOFT),
        random(1, 5, 4),
        {"W": random(4, 12), "b": random(12)},
        48,
        48 * 5 + 2 * 5 * 5 * 4,
    ),
    "FusedConv": (node("FusedConv", activation="Relu", domain=MICROSOFT), X4, {"W": random(8, 4, 1, 1)}, 32, 32 * 36),
    "FusedGemm": (node("FusedGemm", activation="Relu", domain=MICROSOFT), random(1, 3), {"W": random(3, 5)}, 15, 15),
    "FusedMatMul": (node("FusedMatMul", transA=1, domain=MICROSOFT), random(1, 3, 7), {"W": random(3, 5)}, 15, 15 * 7),
    "LinearRegressor": (
        node("LinearRegressor", "x", coefficients=[1.0] * 6, targets=2, domain=ML),
        random(1, 3),
        {},
        6,
        6,
    ),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_counts_its_weights_and_its_work(tmp_path, name):
    made, x, weights, size, macs = OPERATORS[name]
    found = read(tmp_path, [made], {"x": x}, weights)
    assert totals(found) == (size, macs)
    shares = coverage.coverage(found)
    assert (shares.macs, shares.weights, shares.uncounted) == (0.0, 0.0, [])
    assert coverage.failure(STATIC, found) is not None


def test_attention_of_the_standard_counts_queries_keys_and_values(tmp_path):
    made = node("Attention", "q k v", "y")
    sample = {"q": random(1, 2, 5, 4), "k": random(1, 2, 7, 4), "v": random(1, 2, 7, 3)}
    assert totals(read(tmp_path, [made], sample, {}, opset=23)) == (0, 2 * 5 * 7 * (4 + 3))


def test_a_table_has_weights_and_no_work(tmp_path):
    found = read(tmp_path, [node("Gather", "W x")], {"x": np.array([[1, 2]])}, {"W": random(50, 3)})
    assert totals(found) == (150, 0)
    assert "partly_float" not in [flag.code for flag in coverage.flags(STATIC, found, "s8")]


def test_looking_up_a_size_is_no_table(tmp_path):
    nodes = [node("Gather", "W x", "g"), helper.make_node("Relu", ["g"], ["y"])]
    assert totals(read(tmp_path, nodes, {"x": np.array([1])}, {"W": random(50)})) == (0, 0)


def test_a_scale_that_is_stored_is_no_weight(tmp_path):
    nodes = [node("Mul", "x W", "z"), node("LayerNormalization", "z g b")]
    weights = {"W": random(4, 1), "g": random(3), "b": random(3)}
    assert totals(read(tmp_path, nodes, {"x": random(1, 4, 3)}, weights)) == (0, 0)


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


@pytest.mark.parametrize("direct", [True, False])
def test_weights_that_a_loop_hands_on_from_step_to_step_are_stored(tmp_path, direct):
    """As TensorFlow's converters write it: half of the weight, which is an input of the body, and its output again."""
    value, whole = helper.make_tensor_value_info, [3, 6]
    kept = "w" if direct else "v"
    nodes = [
        helper.make_node("Slice", ["w", "none", "half", "axis"], ["h"]),
        helper.make_node("MatMul", ["s", "h"], ["t"], "m"),
        helper.make_node("Identity", ["c"], ["d"]),
        *([] if direct else [helper.make_node("Identity", ["w"], ["v"])]),
    ]
    given = {"i": (TensorProto.INT64, []), "c": (TensorProto.BOOL, []), "s": (TensorProto.FLOAT, [1, 3])}
    inputs = [value(name, *each) for name, each in given.items()] + [value("w", TensorProto.FLOAT, whole)]
    outputs = [value("d", TensorProto.BOOL, []), value("t", TensorProto.FLOAT, [1, 3])]
    body = helper.make_graph(nodes, "body", inputs, [*outputs, value(kept, TensorProto.FLOAT, whole)])
    loop = helper.make_node("Loop", ["trips", "", "x", "W"], ["y", "unchanged"], "loop", body=body)
    stored = {"W": random(*whole), "trips": np.array(7)}
    stored |= {"none": np.array([0]), "half": np.array([3]), "axis": np.array([1])}
    found = read(tmp_path, [loop], {"x": random(1, 3)}, stored)
    assert totals(found) == (18, 7 * 9)
    assert "partly_float" in [flag.code for flag in coverage.flags(STATIC, found, "s8")]


def test_integer_weights_of_a_recurrent_operator_are_integers(tmp_path):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    made, x, weights, size, macs = OPERATORS["LSTM"]
    path = write(tmp_path, [made], {"x": x}, weights)
    quantize_dynamic(path, tmp_path / "small.onnx", weight_type=QuantType.QInt8)
    found = executed(tmp_path / "small.onnx", {}, (x,))
    shares = coverage.coverage(found)
    assert (totals(found), shares.macs, shares.weights) == ((size, macs), 1.0, 1.0)
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


@pytest.mark.parametrize("schema", onnx.defs.get_all_schemas(), ids=lambda schema: f"{schema.domain}.{schema.name}")
def test_no_operator_of_the_standard_has_weights_that_nobody_counts(schema):
    """By what the standard calls its inputs, and says of it."""
    counted = schema.name in work.MULTIPLIES or (schema.name, schema.domain) in work.OF_DOMAIN
    if counted or schema.name in work.TABLES or schema.name not in work.NO_WEIGHTS:
        return  # what is in no list is listed as uncounted
    assert not {each.name.lower() for each in schema.inputs} & {"w", "r", "weight", "weights", "filter", "kernel"}
    told = (schema.doc or "").lower().partition("example")[0]
    assert not any(word in told for word in ("matrix product", "matrix multipl", "matmul", "convolution operator"))


def test_the_lists_of_operators_do_not_overlap():
    of_domain = {name for name, _ in work.OF_DOMAIN}
    lists = [set(work.MULTIPLIES), of_domain, set(work.TABLES), set(work.NO_WEIGHTS)]
    assert sum(map(len, lists)) == len(set().union(*lists))
