from __future__ import annotations

import numpy as np
from onnx import helper

from bitpick.passes.graphs import Graph
from bitpick.passes.layers import layers
from bitpick.passes.moments import Moments
from tests.passes import layer_models

RNG = np.random.default_rng(0)


def test_moments_are_means_over_all_chunks():
    node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[1, 1], group=2)
    model = layer_models.model([node], {"w": RNG.normal(size=(6, 2, 1, 1)).astype(np.float32)}, ["n", 4, 3, 3])
    (layer,) = layers(Graph(model))
    sides = [[RNG.normal(size=(count, 4, 3, 3)).astype(np.float32) + 1 for count in (3, 2)] for _ in range(2)]
    found = Moments.of(layer, 2, list(zip(*sides, strict=True)))
    x, z = (np.moveaxis(np.concatenate(side), 1, -1).reshape(-1, 2, 2).astype(np.float64) for side in sides)
    for group in range(2):
        a, b = x[:, group], z[:, group]
        np.testing.assert_allclose(found.mean[group, 0], a.mean(0), rtol=1e-5)
        np.testing.assert_allclose(found.rounded_mean[group, 0], b.mean(0), rtol=1e-5)
        np.testing.assert_allclose(found.mixed[group], a.T @ b / len(a), rtol=1e-5)
        np.testing.assert_allclose(found.second[group], b.T @ b / len(a), rtol=1e-5)
        np.testing.assert_allclose(found.float_second[group], a.T @ a / len(a), rtol=1e-5)
        centred = found.centred()
        np.testing.assert_allclose(centred.second[group], np.cov(b.T, bias=True), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(
            centred.mixed[group], (a - a.mean(0)).T @ (b - b.mean(0)) / len(a), rtol=1e-4, atol=1e-6
        )


def test_few_samples_say_little_about_how_inputs_vary_together():
    x = RNG.normal(size=(40, 1)) + 0.1 * RNG.normal(size=(40, 30))
    second = (x.T @ x / len(x))[None]
    found = [
        Moments(count, x[None, :1], x[None, :1], second, second, second).shrunk().second[0] for count in (1, 10**6)
    ]
    for each in found:
        np.testing.assert_allclose(np.diag(each), np.diag(second[0]))
    apart = ~np.eye(30, dtype=bool)
    np.testing.assert_allclose(found[0][apart], second[0][apart] * 10 / 40)
    np.testing.assert_allclose(found[1][apart], second[0][apart], rtol=1e-4)
