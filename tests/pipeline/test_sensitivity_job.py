from __future__ import annotations

import numpy as np
import onnx
import pytest

from bitpick.conversion import onnx_file
from bitpick.passes.graphs import Graph
from bitpick.passes.layers import layers
from bitpick.pipeline.sensitivity_job import GRIDS, sensitivities
from tests.passes import layer_models


def test_it_is_the_change_of_the_outputs_when_one_layer_is_rounded(tmp_path):
    model = layer_models.residual(np.random.default_rng(3))
    onnx.save(model, tmp_path / "m.onnx")
    x = np.random.default_rng(4).normal(size=(70, 3, 8, 8)).astype(np.float32)
    found = sensitivities(tmp_path / "m.onnx", layer_models.samples(tmp_path, x))
    assert [each.layer for each in found] == ["first", "depthwise", "pointwise", "dense"]
    assert [each.weights for each in found] == [8 * 27, 8 * 9, 64, 40]
    assert [(each.convolution, each.depthwise) for each in found] == [
        (True, False), (True, True), (True, False), (False, False),
    ]  # fmt: skip
    floats = onnx_file.run(model, [x])[0]
    for place, sensitivity in enumerate(found):
        for grid, error in zip(GRIDS, sensitivity.errors, strict=True):
            rounded = onnx.ModelProto()
            rounded.CopyFrom(model)
            graph = Graph(rounded)
            layer = layers(graph)[place]
            rows = layer.rows(graph)
            layer.store(graph, grid.nearest(rows, grid.scales(rows)))
            change = np.square(onnx_file.run(rounded, [x])[0] - floats).sum() / np.square(floats).sum()
            assert error == pytest.approx(change, rel=1e-3)
        assert sensitivity.errors[0] > 20 * sensitivity.errors[1] > 0


def test_a_fixed_batch_is_filled_up(tmp_path):
    rng = np.random.default_rng(0)
    stored = {"w": rng.normal(size=(3, 4)).astype(np.float32)}
    nodes = [onnx.helper.make_node("MatMul", ["x", "w"], ["y"], "product")]
    onnx.save(layer_models.model(nodes, stored, [4, 3]), tmp_path / "m.onnx")
    (found,) = sensitivities(tmp_path / "m.onnx", layer_models.samples(tmp_path, np.ones((6, 3), np.float32)))
    assert 0 < found.errors[1] < found.errors[0] < 1
