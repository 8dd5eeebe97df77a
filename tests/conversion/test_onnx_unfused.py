"""What ONNX Runtime's optimizer saves computes the same, written out in standard operators."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from bitpick.conversion import canonical_onnx, onnx_file
from bitpick.errors import ModelError

rng = np.random.default_rng(0)


def floats(*shape):
    return rng.normal(size=shape).astype(np.float32)


def save(path, nodes, inputs, stored, opset=17):
    """A graph from its inputs to `y`, whose batch is free."""
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), ["n", *array.shape[1:]])
        for name, array in inputs.items()
    ]
    weights = [onnx.numpy_helper.from_array(array, name) for name, array in stored.items()]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * next(iter(inputs.values())).ndim)]
    graph = helper.make_graph(nodes, "g", values, outputs, weights)
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=8), path)
    return path


def run(model, inputs):
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def check(path, inputs):
    """The file as it is read has standard operators alone, and computes what the file does; returns its nodes."""
    model = onnx_file.load(path)
    assert {node.domain for node in model.graph.node} == {""}
    np.testing.assert_allclose(run(model.SerializeToString(), inputs), run(path, inputs), atol=1e-5)
    return model.graph.node


IMAGE, ROWS, TOKENS = floats(2, 3, 6, 6), floats(2, 8), floats(2, 5, 8)
CONV = {"w": floats(4, 3, 3, 3), "b": floats(4)}
CASES = {
    "conv relu": ("FusedConv", {"x": IMAGE}, CONV, {"activation": "Relu", "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    "conv leaky": ("FusedConv", {"x": IMAGE}, CONV, {"activation": "LeakyRelu", "activation_params": [0.2]}),
    "conv clip": ("FusedConv", {"x": IMAGE}, CONV, {"activation": "Clip", "activation_params": [-0.1, 0.6]}),
    "conv hard sigmoid": (
        "FusedConv", {"x": IMAGE}, CONV, {"activation": "HardSigmoid", "activation_params": [0.1, 0.4]}
    ),
    "conv tanh": ("FusedConv", {"x": IMAGE}, CONV, {"activation": "Tanh"}),
    "conv sum": ("FusedConv", {"x": IMAGE}, {**CONV, "z": floats(2, 4, 4, 4)}, {"activation": "Sigmoid"}),
    "gemm": (
        "FusedGemm", {"x": ROWS}, {"w": floats(4, 8), "b": floats(4)},
        {"activation": "LeakyRelu", "activation_alpha": 0.3, "transB": 1, "alpha": 2.0},
    ),
    "gemm relu": ("FusedGemm", {"x": ROWS}, {"w": floats(8, 4), "b": floats(4)}, {"activation": "Relu"}),
    "product": ("FusedMatMul", {"x": TOKENS}, {"w": floats(8, 4)}, {"alpha": 0.5}),
    "product transposed": ("FusedMatMul", {"x": TOKENS, "v": TOKENS}, {}, {"alpha": 0.5, "transB": 1}),
    "product both transposed": ("FusedMatMul", {"x": TOKENS, "v": floats(2, 7, 5)}, {}, {"transA": 1, "transB": 1}),
    "gelu": ("Gelu", {"x": ROWS}, {}, {}),
    "bias gelu": ("BiasGelu", {"x": TOKENS}, {"b": floats(8)}, {}),
    "fast gelu": ("FastGelu", {"x": TOKENS}, {"b": floats(8)}, {}),
    "fast gelu alone": ("FastGelu", {"x": TOKENS}, {}, {}),
    "quick gelu": ("QuickGelu", {"x": TOKENS}, {}, {"alpha": 1.5}),
    "skip norm": (
        "SkipLayerNormalization", {"x": TOKENS, "s": floats(2, 5, 8)},
        {"g": floats(8), "b": floats(8), "c": floats(8)}, {"epsilon": 1e-3},
    ),
    "skip rms norm": (
        "SkipSimplifiedLayerNormalization", {"x": TOKENS, "s": TOKENS}, {"g": floats(8)}, {"epsilon": 1e-3}
    ),
}  # fmt: skip


@pytest.mark.parametrize("opset", [13, 17, 18])
@pytest.mark.parametrize("name", CASES)
def test_a_fused_node(tmp_path, name, opset):
    operator, inputs, stored, attributes = CASES[name]
    node = helper.make_node(operator, [*inputs, *stored], ["y"], "the.node", domain="com.microsoft", **attributes)
    nodes = check(save(tmp_path / "m.onnx", [node], inputs, stored, opset), inputs)
    assert len({each.name for each in nodes}) == len(nodes)


MASKS = {
    "none": None,
    "tokens": np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32),
    "pairs": np.tril(np.ones((2, 5, 5), np.int32)),
    "lengths": np.array([3, 5], np.int32),
}


@pytest.mark.parametrize("mask", MASKS)
def test_attention(tmp_path, mask):
    inputs = {"x": TOKENS} | ({} if mask == "none" else {"m": MASKS[mask]})
    stored = {"w": floats(8, 24), "b": floats(24)}
    names = ["x", "w", "b", *(["m"] if "m" in inputs else [])]
    node = helper.make_node("Attention", names, ["y"], "attention", domain="com.microsoft", num_heads=2)
    check(save(tmp_path / "m.onnx", [node], inputs, stored), inputs)


def test_what_has_no_simple_equivalent_stays(tmp_path):
    stored = {"w": floats(8, 24), "b": floats(24)}
    node = helper.make_node("Attention", ["x", "w", "b"], ["y"], domain="com.microsoft", num_heads=2, unidirectional=1)
    path = save(tmp_path / "m.onnx", [node], {"x": TOKENS}, stored)
    canonical_onnx.convert(str(path), str(tmp_path / "clean.onnx"))
    np.testing.assert_allclose(run(tmp_path / "clean.onnx", {"x": TOKENS}), run(path, {"x": TOKENS}), atol=1e-6)


def optimized(path, out, level=ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED):
    options = ort.SessionOptions()
    options.graph_optimization_level, options.optimized_model_filepath = level, str(out)
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return out


@pytest.mark.parametrize("simplified", [False, True])
def test_a_normalization_that_the_operator_set_of_the_file_does_not_have(tmp_path, simplified):
    make = helper.make_node
    centred = "x" if simplified else "d"
    nodes = [] if simplified else [make("ReduceMean", ["x"], ["u"], axes=[-1]), make("Sub", ["x", "u"], ["d"])]
    nodes += [
        make("Pow", [centred, "two"], ["p"]),
        make("ReduceMean", ["p"], ["v"], axes=[-1]),
        make("Add", ["v", "e"], ["ve"]),
        make("Sqrt", ["ve"], ["r"]),
        make("Div", [centred, "r"], ["q"]),
        make("Mul", ["q", "g"], ["h"]),
        make("Add", ["h", "b"], ["y"]),
    ]
    stored = {"two": np.float32(2), "e": np.float32(1e-3), "g": floats(8), "b": floats(8)}
    path = optimized(save(tmp_path / "m.onnx", nodes, {"x": TOKENS}, stored, 13), tmp_path / "fast.onnx")
    assert "Pow" not in {node.op_type for node in onnx.load(path).graph.node}
    check(path, {"x": TOKENS})


def test_a_net_that_was_optimized_has_the_clean_graph_of_the_original(tmp_path):
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv"),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["y"], "pool"),
    ]
    path = save(tmp_path / "m.onnx", nodes, {"x": IMAGE}, CONV)
    fast = optimized(path, tmp_path / "fast.onnx")
    assert "FusedConv" in {node.op_type for node in onnx.load(fast).graph.node}
    graphs = []
    for source in (path, fast):
        canonical_onnx.convert(str(source), str(tmp_path / "clean.onnx"))
        graphs.append(onnx.load(tmp_path / "clean.onnx").graph)
    assert [node.op_type for node in graphs[0].node] == [node.op_type for node in graphs[1].node]
    assert graphs[1].node[0].name == "conv"


def test_a_file_for_one_kind_of_cpu_is_refused(tmp_path):
    node = helper.make_node("ReorderOutput", ["x"], ["y"], domain="com.microsoft.nchwc", channels=3)
    graph = helper.make_graph(
        [node], "g", *([helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 4, 4])] for name in "xy")
    )
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft.nchwc", 1)]
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="one kind of CPU") as error:
        onnx_file.load(tmp_path / "m.onnx")
    assert "extended or basic" in error.value.fix
