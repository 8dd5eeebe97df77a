from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from bitpick.engines.onnxruntime.weights import quantize, stored
from bitpick.errors import EngineError

pytestmark = pytest.mark.frameworks


def model(path, kind, weight, **attributes):
    """One weighted node, for an input that fits it."""
    shape = [1, weight.shape[1], 4, 4] if kind == "Conv" else [2, weight.shape[1 if attributes else 0]]
    graph = helper.make_graph(
        [helper.make_node(kind, ["x", "w"], ["y"], "layer", **attributes)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return shape


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 999),
    kind=st.sampled_from(["Conv", "MatMul", "Gemm", "Gemm transposed"]),
    zero=st.booleans(),
    bits=st.sampled_from([8, 4]),
)
def test_each_output_channel_has_its_own_grid_and_the_graph_computes_with_it(tmp_path_factory, seed, kind, zero, bits):
    folder = tmp_path_factory.mktemp("m")
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(3, 2, 2, 2) if kind == "Conv" else (3, 5)).astype(np.float32)
    axis = 0 if kind in ("Conv", "Gemm transposed") else 1
    weight[(slice(None),) * axis + (0,)] *= 0 if zero else 100
    shape = model(folder / "a.onnx", kind.split()[0], weight, **({"transB": 1} if "transposed" in kind else {}))
    quantize(folder / "a.onnx", folder / "b.onnx", bits)
    graph = onnx.load(folder / "b.onnx").graph
    stored = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    assert stored["w_quantized"].dtype.name == f"int{bits}"
    assert stored["w_scale"].shape == (weight.shape[axis],)
    others = tuple(i for i in range(weight.ndim) if i != axis)
    largest = np.abs(weight).max(axis=others)
    expected = np.where(largest > 0, 127 if bits == 8 else 7, 0)
    assert (np.abs(stored["w_quantized"].astype(int)).max(axis=others) == expected).all()
    x = rng.normal(size=shape).astype(np.float32)
    floats, integers = (ort.InferenceSession(folder / f"{n}.onnx").run(None, {"x": x})[0] for n in "ab")
    step = stored["w_scale"].max() / 2 * np.abs(x).sum()
    assert np.abs(floats - integers).max() <= step


def test_an_excluded_layer_keeps_its_weights(tmp_path):
    model(tmp_path / "a.onnx", "MatMul", np.ones((3, 4), np.float32))
    quantize(tmp_path / "a.onnx", tmp_path / "b.onnx", 8, exclude=["layer"])
    assert [node.op_type for node in onnx.load(tmp_path / "b.onnx").graph.node] == ["MatMul"]


def two_layers(path, shared=False):
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=(5, 5)).astype(np.float32) for name in ("w", "v")}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], "first"),
        helper.make_node("MatMul", ["h", "w" if shared else "v"], ["y"], "second"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 5])],
        [numpy_helper.from_array(each, name) for name, each in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return weights


@pytest.mark.parametrize("bits", [8, 4])
def test_single_layers_have_other_weights_and_the_graph_computes_with_both(tmp_path, bits):
    weights = two_layers(tmp_path / "a.onnx")
    quantize(tmp_path / "a.onnx", tmp_path / "b.onnx", bits, others=["second"])
    graph = onnx.load(tmp_path / "b.onnx").graph
    kept = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    assert kept["w_quantized"].dtype.name == f"int{bits}"
    assert kept["v_quantized"].dtype.name == f"int{12 - bits}"
    x = np.random.default_rng(1).normal(size=(2, 5)).astype(np.float32)
    restored = [kept[f"{name}_quantized"].astype(np.float32) * kept[f"{name}_scale"] for name in "wv"]
    exact = ort.SessionOptions()
    exact.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")  # as builds are opened
    (found,) = ort.InferenceSession(tmp_path / "b.onnx", exact).run(None, {"x": x})
    np.testing.assert_allclose(found, x @ restored[0] @ restored[1], rtol=1e-4, atol=1e-4)
    errors = [np.abs(restored[place] - weights[name]).max() for place, name in enumerate("wv")]
    assert errors[bits == 4] < 0.02 < errors[bits == 8]


def test_layers_that_share_weights_cannot_have_different_ones(tmp_path):
    two_layers(tmp_path / "a.onnx", shared=True)
    with pytest.raises(EngineError, match="first shares its weights with layers that are to have others"):
        quantize(tmp_path / "a.onnx", tmp_path / "b.onnx", 4, others=["second"])
    quantize(tmp_path / "a.onnx", tmp_path / "b.onnx", 4, others=["first", "second"])


def test_stored_weights_have_the_names_of_their_nodes(tmp_path):
    weights = two_layers(tmp_path / "a.onnx")
    found = list(stored(tmp_path / "a.onnx"))
    assert [names for names, _ in found] == [("first",), ("second",)]
    np.testing.assert_array_equal(found[1][1], weights["v"])
