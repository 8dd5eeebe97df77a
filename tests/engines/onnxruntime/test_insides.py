"""What is inside an ONNX Runtime build, beside ONNX's reference evaluator."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from bitpick.datasets.dataset import Samples
from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine
from bitpick.recipe import Recipe, baseline

ENGINE = OnnxRuntimeEngine()
LAYERS = {"conv", "product", "dense"}


@pytest.fixture
def source(tmp_path):
    rng = np.random.default_rng(0)
    stored = {
        "w1": rng.normal(size=(6, 3, 3, 3)),
        "c1": rng.normal(size=6),
        "w2": rng.normal(size=(96, 5)),
        "w3": rng.normal(size=(4, 5)),
        "c3": rng.normal(size=4),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w1", "c1"], ["conv"], "conv"),
            helper.make_node("Relu", ["conv"], ["relu"], "relu"),
            helper.make_node("Flatten", ["relu"], ["flat"], "flatten"),
            helper.make_node("MatMul", ["flat", "w2"], ["product"], "product"),
            helper.make_node("Gemm", ["product", "w3", "c3"], ["scores"], "dense", transB=1),
        ],
        "inside",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 6, 6])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 4])],
        [onnx.numpy_helper.from_array(a.astype(np.float32), name) for name, a in stored.items()],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def samples(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(1).normal(size=(60, 3, 6, 6)).astype(np.float32))
    np.save(tmp_path / "y.npy", np.zeros(60, np.int64))
    return Samples(inputs=(tmp_path / "x.npy",), labels=tmp_path / "y.npy", count=60, sha256="0")


@pytest.fixture
def inside(source, samples, tmp_path):
    def make(text, **fields):
        recipe = Recipe.model_validate(Recipe.parse(f"onnxruntime:{text}").model_dump() | fields)
        made = []
        for each in (baseline("onnxruntime"), recipe):
            folder = tmp_path / each.file_name
            folder.mkdir()
            made.append(ENGINE.build(source, each, samples, None, folder))
        return ENGINE.insides(*made)

    return make


FORMS = (
    "s8u8-per_channel-minmax", "s8u8-per_channel-minmax+qoperator", "u8u8-per_tensor-minmax",
    "s8dynamic", "u8dynamic", "s8weights",
)  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_weights_are_within_half_a_step_of_the_float_ones(inside, source, name):
    stored = {i.name: onnx.numpy_helper.to_array(i) for i in onnx.load(source).graph.initializer}
    outputs_first = {"conv": stored["w1"], "product": stored["w2"].T, "dense": stored["w3"]}
    found = {layer: pair for layer, *pair in inside(name).weights()}
    # A dynamic recipe makes a matrix product of the Gemm, and stores its weight the other way round.
    assert set(found) == LAYERS - ({"dense"} if "dynamic" in name else set())
    for layer, (expected, restored) in found.items():
        np.testing.assert_array_equal(expected, outputs_first[layer])
        step = 2 * np.abs(expected).max() / 250
        assert 0 < np.abs(expected - restored).max() <= step / 2 * 1.01


@pytest.mark.parametrize("name", FORMS)
def test_outputs_are_those_of_the_graph_after_what_is_fused(inside, source, samples, name):
    batch = next(samples.batches(8))
    graph = onnx.load(source)
    graph.graph.output.extend(onnx.ValueInfoProto(name=each) for each in ("relu", "product"))
    scores, relu, product = ReferenceEvaluator(graph).run(None, {"x": batch[0]})
    found = {layer: pair for layer, *pair in inside(name).outputs(batch)}
    assert set(found) >= LAYERS
    for layer, reference in (("conv", relu), ("product", product), ("dense", scores)):
        expected, quantized = found[layer]
        np.testing.assert_allclose(expected, reference, rtol=1e-4, atol=1e-4)
        assert 0 < np.abs(quantized - expected).max() < 0.1 * np.abs(expected).max()
    assert (found["conv"][1] >= 0).all()


def test_a_layer_left_in_float_has_its_weights_and_the_runtime_leaves_them(inside):
    opened = inside("s8u8-per_channel-minmax", exclude=("product",), name="scoped")
    expected, stored = next(pair for layer, *pair in opened.weights() if layer == "product")
    np.testing.assert_array_equal(expected, stored)


def test_the_layers_of_a_recipe_are_what_it_quantizes(source):
    named = {name: [layer for layer, _ in ENGINE.layers(source, Recipe.parse(f"onnxruntime:{name}"))] for name in FORMS}
    assert all(layers == ["conv", "product", "dense"] for layers in named.values())
