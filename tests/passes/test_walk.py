from __future__ import annotations

import numpy as np
import pytest

from bitpick.conversion import onnx_file
from bitpick.passes.graphs import Graph
from bitpick.passes.layers import layers
from bitpick.passes.walk import Walk
from tests.passes import layer_models

RNG = np.random.default_rng(0)
COUNT = 130


@pytest.fixture
def images(tmp_path):
    return layer_models.samples(tmp_path, RNG.normal(size=(COUNT, 3, 8, 8)).astype(np.float32))


@pytest.mark.parametrize("memory", [10**9, 1_000_000, 1])
def test_each_layer_gets_its_inputs_in_both_networks(images, memory):
    model = layer_models.residual(np.random.default_rng(1))
    walk = Walk(model, images, memory)
    x = np.load(images.inputs[0])
    seen = []
    for layer in layers(Graph(model)):
        chunks = walk.inputs(layer)
        floats, rounded = (np.concatenate(side) for side in zip(*chunks, strict=True))
        seen.append(len(floats))
        name = layer.node.input[0]
        if name == "x":
            expected = after_rounded = x
        else:
            expected = onnx_file.intermediates(model, [x])[name]
            after_rounded = onnx_file.intermediates(walk.rounded.model, [x])[name]
        np.testing.assert_allclose(floats, expected[: len(floats)], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(rounded, after_rounded[: len(floats)], rtol=1e-5, atol=1e-5)
        layer.store(walk.rounded, np.round(layer.rows(walk.rounded), 1))
    assert [layer.node.name for layer in layers(Graph(model))] == ["first", "depthwise", "pointwise", "dense"]
    # The maps of the first layers are large, and the last layer's input is small.
    assert seen == {10**9: [COUNT] * 4, 1_000_000: [COUNT, COUNT, 100, COUNT], 1: [50] * 4}[memory]


def test_the_network_itself_stays_as_it_is(images):
    model = layer_models.residual(np.random.default_rng(1))
    before = model.SerializeToString()
    walk = Walk(model, images)
    for layer in layers(Graph(model)):
        walk.inputs(layer)
        layer.store(walk.rounded, 0 * layer.rows(walk.rounded))
    assert model.SerializeToString() == before


def test_a_fixed_batch_is_kept(tmp_path):
    model = layer_models.residual(np.random.default_rng(1))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    array = RNG.normal(size=(10, 3, 8, 8)).astype(np.float32)
    walk = Walk(model, layer_models.samples(tmp_path, array))
    first = layers(Graph(model))[0]
    assert [len(floats) for floats, _ in walk.inputs(first)] == [4, 4, 4]  # the last one filled up with the first two
    np.testing.assert_array_equal(walk.inputs(first)[2][0], array[[8, 9, 0, 1]])
