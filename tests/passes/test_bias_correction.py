from __future__ import annotations

import numpy as np
import onnx

from bitpick.conversion import onnx_file
from bitpick.passes import bias_correction
from bitpick.passes.weight_grid import WeightGrid
from tests.passes import layer_models

RNG = np.random.default_rng(0)


def test_no_channel_has_a_mean_error(tmp_path):
    model = layer_models.residual(np.random.default_rng(1))
    onnx.save(model, tmp_path / "float.onnx")
    x = np.abs(RNG.normal(size=(200, 3, 8, 8))).astype(np.float32)
    samples = layer_models.samples(tmp_path, x)
    grid = WeightGrid(7, True)
    applied = bias_correction.apply(str(tmp_path / "float.onnx"), str(tmp_path / "out.onnx"), samples, grid)
    assert applied.changed == ["first", "depthwise", "pointwise", "dense"]
    rounded = onnx.load(tmp_path / "out.onnx")
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in rounded.graph.initializer}
    for name, places in (("c1", (0, 2, 3)), ("c2", (0, 2, 3)), ("c3", (0, 2, 3)), ("y", (0,))):
        sides = [onnx_file.intermediates(each, [x]) for each in (model, rounded)]
        expected, found = (side[name].mean(axis=places) for side in sides)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert np.abs(sides[0][name] - sides[1][name]).max() > 0.01
    for row in stored["w1"].reshape(8, -1):
        steps = row / (np.abs(row).max() / 7)
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)
