from __future__ import annotations

import numpy as np
import pytest

from bitpick.engines.openvino.insides import OpenVinoInsides

pytestmark = pytest.mark.frameworks

RNG = np.random.default_rng(0)
CONFIGURATION = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
# Stored integers, all of them with a scale for each output, and a zero of 2; floats are a tenth of a step away.
SHAPES = {"conv": (4, 3, 1, 1), "grouped": (2, 3, 2, 1, 1), "up": (6, 5, 1, 1), "dense": (5, 4), "turned": (2, 4)}
STORED = {name: RNG.integers(-127, 128, shape).astype(np.int8) for name, shape in SHAPES.items()}
SCALE, ZERO = 0.01, 2
OUTPUTS = {"conv": 4, "grouped": 6, "up": 5, "dense": 4, "turned": 2}


@pytest.fixture
def openvino():
    return pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'bitpick[openvino]'")


def network(openvino, path, integer, left_out=(), ends_in_softmax=True):
    """Convolutions of one position, of every kind, and two dense layers, one with its weight transposed."""
    from openvino import opset13 as ops

    def weight(name):
        kept = STORED[name]
        if integer:
            floats = ops.convert(ops.constant(kept), np.float32)
            return ops.multiply(ops.subtract(floats, np.float32(ZERO)), np.float32(SCALE))
        return ops.constant((np.float32(kept) - np.float32(ZERO - 0.1)) * np.float32(SCALE))

    flat = {"strides": [1, 1], "pads_begin": [0, 0], "pads_end": [0, 0], "dilations": [1, 1]}
    x = ops.parameter([-1, 3, 1, 1], np.float32, name="x")
    conv = ops.convolution(x, weight("conv"), **flat, name="conv/WithoutBiases")
    relu = ops.relu(ops.add(conv, ops.constant(np.full((1, 4, 1, 1), -0.5, np.float32)), name="conv"))
    grouped = ops.group_convolution(relu, weight("grouped"), **flat, name="grouped")
    up = ops.convolution_backprop_data(grouped, weight("up"), strides=[1, 1], name="up")
    rows = ops.reshape(up, np.array([-1, 5]), special_zero=False)
    dense = ops.matmul(rows, weight("dense"), False, False, name="dense")
    last = ops.matmul(dense, weight("turned"), False, True, name="other" if "turned" in left_out else "turned")
    end = ops.softmax(last, 1) if ends_in_softmax else last
    openvino.save_model(openvino.Model([end], [x], "g"), path, compress_to_fp16=False)
    return path


@pytest.fixture
def inside(openvino, tmp_path):
    floats, build = (network(openvino, tmp_path / f"{name}.xml", name == "q") for name in ("f", "q"))
    with OpenVinoInsides(floats, build, CONFIGURATION) as opened:
        yield opened


def outputs_first(name, weight):
    """A weight with its outputs first, moved by hand."""
    if name == "grouped":
        return weight.reshape(6, 2, 1, 1)
    return weight.swapaxes(0, 1) if name in ("up", "dense") else weight


def test_weights_are_dequantized_with_the_outputs_first(inside):
    found = {name: pair for name, *pair in inside.weights()}
    assert list(found) == list(SHAPES)
    for name, (expected, restored) in found.items():
        exact = outputs_first(name, STORED[name].astype(np.float32) - ZERO) * SCALE
        assert len(restored) == OUTPUTS[name]
        np.testing.assert_allclose(restored, exact, atol=1e-6)
        np.testing.assert_allclose(expected - restored, 0.1 * SCALE, atol=1e-6)


def test_outputs_are_those_of_each_layer_with_its_bias_and_its_activation(inside):
    batch = RNG.normal(size=(5, 3, 1, 1)).astype(np.float32)
    weights = {name: outputs_first(name, STORED[name].astype(np.float32) - ZERO) * SCALE for name in SHAPES}
    found = {name: pair for name, *pair in inside.outputs((batch,))}
    assert list(found) == list(SHAPES)
    exact = np.maximum(batch.reshape(5, 3) @ weights["conv"].reshape(4, 3).T - 0.5, 0)
    np.testing.assert_allclose(found["conv"][1].reshape(5, 4), exact, rtol=1e-4, atol=1e-5)
    halves = [exact[:, 2 * i : 2 * i + 2] @ weights["grouped"].reshape(2, 3, 2)[i].T for i in range(2)]
    exact = np.concatenate(halves, axis=1)
    for name in ("grouped", "up", "dense", "turned"):
        exact = exact if name == "grouped" else exact @ weights[name].reshape(OUTPUTS[name], -1).T
        np.testing.assert_allclose(found[name][1].reshape(5, -1), exact, rtol=1e-3, atol=1e-4)
        assert np.abs(found[name][0] - found[name][1]).max() > 0


def test_a_layer_that_one_of_the_builds_does_not_show_is_left_out(openvino, tmp_path):
    floats = network(openvino, tmp_path / "f.xml", False)
    build = network(openvino, tmp_path / "q.xml", True, left_out=("turned",))
    with OpenVinoInsides(floats, build, CONFIGURATION) as opened:
        assert [name for name, *_ in opened.weights()] == ["conv", "grouped", "up", "dense"]
        batch = (np.ones((1, 3, 1, 1), np.float32),)
        assert [name for name, *_ in opened.outputs(batch)] == ["conv", "grouped", "up", "dense"]


def test_a_layer_that_is_the_models_own_output_shifts_no_other(openvino, tmp_path):
    floats = network(openvino, tmp_path / "f.xml", False, ends_in_softmax=False)
    batch = (RNG.normal(size=(5, 3, 1, 1)).astype(np.float32),)
    with OpenVinoInsides(floats, floats, CONFIGURATION) as opened:
        shapes = {name: found.shape[1] for name, found, _ in opened.outputs(batch)}
    assert shapes == OUTPUTS


def test_an_addition_of_two_layers_is_part_of_neither(openvino, tmp_path):
    from openvino import opset13 as ops

    x = ops.parameter([-1, 3], np.float32, name="x")
    weights = [ops.constant(RNG.normal(size=(3, 3)).astype(np.float32)) for _ in range(2)]
    one, two = (ops.matmul(x, each, False, True, name=f"m{place}") for place, each in enumerate(weights))
    openvino.save_model(openvino.Model([ops.add(one, two)], [x], "g"), tmp_path / "a.xml", compress_to_fp16=False)
    with OpenVinoInsides(tmp_path / "a.xml", tmp_path / "a.xml", CONFIGURATION) as opened:
        batch = RNG.normal(size=(4, 3)).astype(np.float32)
        for (_, found, same), weight in zip(opened.outputs((batch,)), weights, strict=True):
            np.testing.assert_allclose(found, batch @ weight.get_data().T, rtol=1e-4, atol=1e-5)
            np.testing.assert_array_equal(found, same)
