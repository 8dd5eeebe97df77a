from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest

from bitpick.passes import adaround
from bitpick.passes.graphs import Graph
from bitpick.passes.layers import layers
from bitpick.passes.moments import Moments
from bitpick.passes.weight_grid import WeightGrid
from tests.passes import layer_models

RNG = np.random.default_rng(0)


def moments(x, z):
    """The moments of patches of shape (n, d), of one group."""
    return Moments(len(x) * 100, *(each[None] for each in (x.mean(0, keepdims=True), z.mean(0, keepdims=True), x.T @ z / len(x), z.T @ z / len(x), x.T @ x / len(x))))  # fmt: skip  # noqa: E501


def correlated(count, size):
    return RNG.normal(size=(count, 3)) @ RNG.normal(size=(3, size)) + 0.3 * RNG.normal(size=(count, size))


def test_it_finds_the_best_way_to_round_a_few_weights():
    x = correlated(500, 6)
    rows = RNG.normal(size=(1, 5, 6))
    grid = WeightGrid(7, True)
    scales = grid.scales(rows[0])[None]
    rounded = adaround.choose(rows, scales, grid, moments(x, x))

    def error(values, channel):
        return float((((values - rows[0, channel]) @ x.T) ** 2).mean())

    for channel in range(5):
        scale = scales[0, channel, 0]
        steps = rows[0, channel] / scale
        choices = [sorted({np.floor(each), np.ceil(each)}) if abs(each) < 6.999 else [round(each)] for each in steps]
        best = min(error(np.array(each) * scale, channel) for each in itertools.product(*choices))
        nearest = error(np.round(steps) * scale, channel)
        found = error(rounded[0, channel], channel)
        assert best - 1e-9 <= found <= nearest
        assert found <= best + 0.25 * (nearest - best)  # coordinate descent may end in a neighbouring minimum


GRIDS = (WeightGrid(7, True), WeightGrid(7, False), WeightGrid(7, True, clipped=True))


@pytest.mark.parametrize("grid", [*GRIDS, WeightGrid(8, True, clipped=True, lopsided=True)])
def test_engines_find_the_same_grid_again(grid):
    x = correlated(500, 40)
    rows = RNG.laplace(size=(1, 8, 40))
    scales = grid.scales(rows[0])[None]
    rounded = adaround.choose(rows, scales, grid, moments(x, x + 0.1))
    steps = rounded / scales
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)
    assert steps.max() - steps.min() <= 2 * grid.levels - grid.lopsided
    again = WeightGrid(grid.levels, grid.per_channel).scales(rounded[0])  # as an engine does: by the largest weight
    np.testing.assert_allclose(again, scales[0])


@pytest.mark.parametrize("grid", [WeightGrid(7, True, clipped=True), WeightGrid(15, False)])
def test_the_network_keeps_its_outputs(tmp_path, grid):
    model = layer_models.residual(np.random.default_rng(1), channels=16)
    onnx.save(model, tmp_path / "float.onnx")
    x = np.maximum(0, RNG.normal(size=(400, 3, 8, 8)) + 0.5).astype(np.float32)
    samples = layer_models.samples(tmp_path, x[:300])
    applied = adaround.apply(str(tmp_path / "float.onnx"), str(tmp_path / "out.onnx"), samples, grid)
    assert applied.changed == ["first", "depthwise", "pointwise", "dense"]
    assert all(each.tuned >= each.nearest for each in applied.tuned)
    assert sum(each.tuned - each.nearest for each in applied.tuned) > 3

    def outputs(model):
        from bitpick.conversion import onnx_file

        return onnx_file.run(model, [x[300:]])[0]

    nearest = onnx.load(tmp_path / "float.onnx")
    graph = Graph(nearest)
    for layer in layers(graph):
        rows = layer.rows(graph)
        layer.store(graph, grid.nearest(rows, grid.scales(rows)))
    expected = outputs(model)
    tuned, plain = (((outputs(each) - expected) ** 2).mean() for each in (onnx.load(tmp_path / "out.onnx"), nearest))
    assert tuned < 0.5 * plain  # on samples that it has not seen


def test_a_network_without_layers_says_so(tmp_path):
    model = layer_models.model([onnx.helper.make_node("Relu", ["x"], ["y"])], {}, ["n", 3])
    onnx.save(model, tmp_path / "m.onnx")
    samples = layer_models.samples(tmp_path, np.ones((4, 3), np.float32))
    applied = adaround.apply(str(tmp_path / "m.onnx"), str(tmp_path / "out.onnx"), samples, WeightGrid(7, True))
    assert (applied.changed, applied.why_not) == ([], "it has no layer with weights to round")


def test_a_layer_whose_inputs_are_as_wide_as_masks_is_left_alone(tmp_path):
    generator = np.random.default_rng(0)
    nodes = [
        onnx.helper.make_node("Gemm", ["x", "w"], ["a"], "wide"),
        onnx.helper.make_node("Tanh", ["a"], ["b"]),
        onnx.helper.make_node("Gemm", ["b", "v"], ["y"], "narrow"),
    ]
    stored = {name: generator.normal(size=(6, 6)).astype(np.float32) for name in ("w", "v")}
    onnx.save(layer_models.model(nodes, stored, ["n", 6]), tmp_path / "m.onnx")
    samples = layer_models.samples(tmp_path, np.full((20, 6), -3e38, np.float32))
    with np.errstate(over="ignore", invalid="ignore"):
        applied = adaround.apply(str(tmp_path / "m.onnx"), str(tmp_path / "out.onnx"), samples, WeightGrid(7, True))
    assert applied.changed == ["narrow"]
    (left,) = [each for each in onnx.load(tmp_path / "out.onnx").graph.initializer if each.name == "w"]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(left), stored["w"])


def test_each_layer_is_rounded_on_its_own_grid_and_one_that_stays_in_float_keeps_its_weights(tmp_path):
    model = layer_models.residual(np.random.default_rng(3))
    onnx.save(model, tmp_path / "float.onnx")
    samples = layer_models.samples(tmp_path, np.random.default_rng(4).normal(size=(60, 3, 8, 8)).astype(np.float32))
    own = {"first": WeightGrid(127, True), "pointwise": None}
    grid = WeightGrid(7, True, layers=own)
    applied = adaround.apply(str(tmp_path / "float.onnx"), str(tmp_path / "out.onnx"), samples, grid)
    assert applied.changed == ["first", "depthwise", "dense"]
    before, after = (Graph(onnx.load(tmp_path / name)) for name in ("float.onnx", "out.onnx"))
    for name in ("w3", "b3"):
        np.testing.assert_array_equal(after.constant(name), before.constant(name))
    rows = {layer.name: layer.rows(after) for layer in layers(after)}
    levels = {name: [count for count in (7, 127) if _on_grid(each, count)] for name, each in rows.items()}
    assert levels == {"first": [127], "depthwise": [7], "pointwise": [], "dense": [7]}


def _on_grid(rows, levels):
    steps = rows / np.abs(rows).max(axis=1, keepdims=True) * levels
    return np.allclose(steps, np.round(steps), atol=1e-3)
