from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper

from bitpick.passes.graphs import Graph
from bitpick.passes.layers import layers
from tests.passes import layer_models

RNG = np.random.default_rng(0)
make = helper.make_node


def weights(*shape):
    return RNG.normal(size=shape).astype(np.float32)


MAP = (6, 9, 8)
LAYERS = {
    "convolution": (make("Conv", ["x", "w"], ["y"], "a", pads=[1, 2, 0, 1]), weights(4, 6, 3, 2), MAP),
    "strides": (make("Conv", ["x", "w"], ["y"], "a", strides=[2, 3], dilations=[2, 1]), weights(4, 6, 3, 2), MAP),
    "same upper": (make("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER", strides=[2, 2]), weights(4, 6, 3, 4), MAP),
    "same lower": (make("Conv", ["x", "w"], ["y"], auto_pad="SAME_LOWER", strides=[2, 2]), weights(4, 6, 3, 4), MAP),
    "valid": (make("Conv", ["x", "w"], ["y"], "a", auto_pad="VALID"), weights(4, 6, 3, 3), MAP),
    "groups": (make("Conv", ["x", "w"], ["y"], "a", group=2), weights(4, 3, 3, 3), MAP),
    "depthwise": (make("Conv", ["x", "w"], ["y"], "a", group=6), weights(12, 1, 3, 3), MAP),
    "one axis": (make("Conv", ["x", "w"], ["y"], "a", pads=[1, 1]), weights(4, 6, 3), (6, 9)),
    "three axes": (make("Conv", ["x", "w"], ["y"], "a"), weights(4, 6, 2, 2, 2), (6, 4, 5, 3)),
    "matrix product": (make("MatMul", ["x", "w"], ["y"], "a"), weights(6, 4), (3, 6)),
    "gemm": (make("Gemm", ["x", "w"], ["y"], "a"), weights(6, 4), (6,)),
    "transposed gemm": (make("Gemm", ["x", "w"], ["y"], "a", transB=1), weights(4, 6), (6,)),
}  # fmt: skip


def opened(node, weight, shape, **stored):
    return layer_models.model([node], {"w": weight, **stored}, ["n", *shape])


def given(name):
    """A network of one layer, and two samples."""
    node, weight, shape = LAYERS[name]
    model = opened(node, weight, shape)
    graph = Graph(model)
    (layer,) = layers(graph)
    return node, model, graph, layer, RNG.normal(size=(2, *shape)).astype(np.float32)


def run(model, x):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize("name", LAYERS)
def test_outputs_are_products_of_rows_and_patches(name):
    node, model, graph, layer, x = given(name)
    patches = layer.patches(x, 10**6, np.random.default_rng(0))
    rows = layer.rows(graph).reshape(layer.groups, -1, patches.shape[2])
    products = np.einsum("pgd,gcd->pgc", patches, rows).reshape(len(patches), -1)
    expected = run(model, x)
    expected = np.moveaxis(expected, 1, -1) if node.op_type == "Conv" else expected
    np.testing.assert_allclose(products, expected.reshape(products.shape), rtol=1e-4, atol=1e-4)
    assert layer.is_depthwise(layer.rows(graph)) == (name == "depthwise")


@pytest.mark.parametrize("name", LAYERS)
def test_rows_can_be_replaced_and_biases_added(name):
    node, model, graph, layer, x = given(name)
    before = run(model, x)
    layer.store(graph, 2 * layer.rows(graph))
    np.testing.assert_allclose(run(model, x), 2 * before, rtol=1e-4, atol=1e-4)
    if layer.bias is None:
        assert node.op_type == "MatMul"
        return
    change = np.arange(before.shape[1], dtype=np.float64)
    for times in (1, 2):  # the second time, the bias is there
        layer.add_to_bias(graph, change)
        added = times * change.reshape(1, -1, *[1] * (before.ndim - 2))
        np.testing.assert_allclose(run(model, x), 2 * before + added, rtol=1e-4, atol=1e-4)


def test_patches_are_drawn_alike_from_inputs_of_one_shape():
    node, weight, shape = LAYERS["convolution"]
    (layer,) = layers(Graph(opened(node, weight, shape)))
    x = RNG.normal(size=(2, *shape)).astype(np.float32)
    first, second = (layer.patches(each, 7, np.random.default_rng(3)) for each in (x, 2 * x))
    assert first.shape == (7, 1, 36)
    np.testing.assert_array_equal(second, 2 * first)


def test_the_bias_of_a_matrix_product_is_what_is_added_to_it():
    nodes = [make("MatMul", ["x", "w"], ["p"], "product"), make("Add", ["b", "p"], ["y"], "add")]
    graph = Graph(layer_models.model(nodes, {"w": weights(6, 4), "b": weights(4)}, ["n", 6]))
    (layer,) = layers(graph)
    assert layer.bias == "b"
    before = graph.constant("b")
    layer.add_to_bias(graph, np.ones(4))
    np.testing.assert_allclose(graph.constant("b"), before + 1)


@pytest.mark.parametrize(
    ("nodes", "stored"),
    [
        ([make("Conv", ["x", "w"], ["y"]), make("Conv", ["x", "w"], ["z"])], {"w": weights(4, 6, 1, 1)}),  # shared
        ([make("Identity", ["w"], ["v"]), make("Conv", ["x", "v"], ["y"])], {"w": weights(4, 6, 1, 1)}),  # computed
        ([make("Conv", ["x", "w"], ["y"])], {"w": np.zeros((4, 6, 1, 1), np.float32)}),  # nothing to round
        ([make("Gemm", ["x", "w"], ["y"], transA=1)], {"w": weights(6, 4)}),
        ([make("Gemm", ["x", "w"], ["y"], alpha=0.5)], {"w": weights(6, 4)}),
        ([make("MatMul", ["w", "x"], ["y"])], {"w": weights(6, 4)}),
    ],
)
def test_other_layers_are_left_alone(nodes, stored):
    assert layers(Graph(layer_models.model(nodes, stored, ["n", 6, 1, 1]))) == []
