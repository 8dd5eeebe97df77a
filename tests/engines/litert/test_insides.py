from __future__ import annotations

import numpy as np
import pytest

from bitpick.engines.engine import Build
from bitpick.engines.litert.insides import LiteRtInsides
from bitpick.recipe import baseline
from tests.engines.litert.files import Graph, Tensor, op, stored, write

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors:UserWarning"),
]
pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed: pip install 'bitpick[litert]'")

RNG = np.random.default_rng(0)
KERNEL = RNG.integers(-127, 128, (1, 1, 1, 3)).astype(np.int8)
DENSE = RNG.integers(-127, 128, (4, 3)).astype(np.int8)
BY_CHANNEL, SCALES = (0.01, 0.02, 0.03), (0.02, 0.01, 0.04, 0.03)
PADDING = {"strideW": 1, "strideH": 1, "depthMultiplier": 1, "padding": 1}


def network(path, integer):
    """A depthwise convolution of one position, which is 3 factors, and a dense layer of 4; weights alone are integers.

    The float weights are a tenth of a step away from those of the integers.
    """
    tensors = [Tensor("x", (1, 1, 1, 3), free=True), Tensor("conv", (1, 1, 1, 3)), Tensor("y", (1, 4))]
    tensors += [stored("bias", np.zeros(3, np.float32))]
    ends = "x {} bias -> conv", "conv {} - -> y"
    kinds = ("DEPTHWISE_CONV_2D", PADDING), ("FULLY_CONNECTED", {})
    if integer:
        tensors += [
            stored("kernel", KERNEL, scales=BY_CHANNEL, axis=3),
            stored("weight", DENSE, scales=SCALES),
            Tensor("kernel_f", KERNEL.shape),
            Tensor("weight_f", DENSE.shape),
        ]
        ops, names = (
            [op("DEQUANTIZE", f"{name} -> {name}_f") for name in ("kernel", "weight")],
            ("kernel_f", "weight_f"),
        )
    else:
        tensors += [
            stored("kernel", ((KERNEL + 0.1) * BY_CHANNEL).astype(np.float32)),
            stored("weight", ((DENSE + 0.1) * np.reshape(SCALES, (4, 1))).astype(np.float32)),
        ]
        ops, names = [], ("kernel", "weight")
    ops += [op(kind, each.format(n), **more) for (kind, more), each, n in zip(kinds, ends, names, strict=True)]
    write(path, Graph(tensors, ops, "x", "y"))
    return Build(baseline("litert"), path.parent, (path.name,))


@pytest.fixture
def inside(tmp_path):
    with LiteRtInsides(network(tmp_path / "f.tflite", False), network(tmp_path / "q.tflite", True)) as opened:
        yield opened


def test_weights_are_dequantized_by_their_own_scales_with_the_outputs_first(inside):
    found = {name: pair for name, *pair in inside.weights()}
    assert list(found) == ["conv", "y"]
    expected, restored = found["conv"]
    assert restored.shape == (3, 1, 1, 1)
    np.testing.assert_allclose(restored.ravel(), KERNEL.ravel() * BY_CHANNEL, rtol=1e-6)
    np.testing.assert_allclose((expected - restored).ravel(), 0.1 * np.array(BY_CHANNEL), rtol=1e-3)
    expected, restored = found["y"]
    np.testing.assert_allclose(restored, DENSE * np.reshape(SCALES, (4, 1)), rtol=1e-6)
    np.testing.assert_allclose((expected - restored)[:, 0], 0.1 * np.array(SCALES), rtol=1e-3)


def test_outputs_are_those_of_each_layer_for_every_sample(inside):
    batch = RNG.normal(size=(5, 1, 1, 3)).astype(np.float32)
    found = {name: pair for name, *pair in inside.outputs((batch,))}
    (_, first), (_, second) = found["conv"], found["y"]
    factors = KERNEL.ravel() * BY_CHANNEL
    np.testing.assert_allclose(first.reshape(5, 3), batch.reshape(5, 3) * factors, rtol=1e-4, atol=1e-5)
    dense = DENSE * np.reshape(SCALES, (4, 1))
    np.testing.assert_allclose(second, (batch.reshape(5, 3) * factors) @ dense.T, rtol=1e-4, atol=1e-4)
    assert all(0 < np.abs(expected - given).max() < 1 for expected, given in found.values())


def test_a_layer_that_one_of_the_builds_does_not_show_is_left_out(tmp_path):
    tensors = [Tensor("x", (1, 1, 1, 3)), stored("weight", DENSE, scales=SCALES), Tensor("y", (1, 4))]
    write(tmp_path / "other.tflite", Graph(tensors, [op("FULLY_CONNECTED", "x weight - -> y")], "x", "y"))
    other = Build(baseline("litert"), tmp_path, ("other.tflite",))
    with LiteRtInsides(network(tmp_path / "f.tflite", False), other) as opened:
        assert [name for name, *_ in opened.weights()] == ["y"]
        assert [name for name, *_ in opened.outputs((np.ones((2, 1, 1, 3), np.float32),))] == ["y"]
