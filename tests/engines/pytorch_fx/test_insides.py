from __future__ import annotations

import numpy as np
import pytest

from bitpick.datasets.dataset import Samples
from bitpick.engines.pytorch_fx.engine import PyTorchFxEngine
from bitpick.preprocessing import Preprocessing
from bitpick.recipe import Recipe, baseline
from tests.engines.pytorch_fx.modules import two_layers

pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("ignore")]
ENGINE = PyTorchFxEngine()
STATIC = Recipe.parse("pytorch_fx:s8u8-per_channel-histogram")
BATCH = np.random.default_rng(1).normal(size=(8, 3, 4, 4)).astype(np.float32)


@pytest.fixture
def module():
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")
    return two_layers()


@pytest.fixture
def inside(module, tmp_path):
    import torch

    torch.save(module, tmp_path / "m.pt")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(60, 3, 4, 4)).astype(np.float32))
    samples = Samples(inputs=(tmp_path / "x.npy",), count=60, sha256="0", preprocessing=(Preprocessing(),))

    def make(recipe):
        made = []
        for each in (baseline("pytorch_fx"), recipe):
            folder = tmp_path / each.file_name
            folder.mkdir()
            made.append(ENGINE.build(tmp_path / "m.pt", each, samples, None, folder))
        return ENGINE.insides(*made)

    return make


def test_weights_are_within_half_a_step_of_the_float_ones(module, inside):
    found = {name: pair for name, *pair in inside(STATIC).weights()}
    assert list(found) == ["conv", "dense"]
    for name, (expected, restored) in found.items():
        np.testing.assert_array_equal(expected, module.get_submodule(name).weight.detach().numpy())
        rows = np.abs(expected).reshape(len(expected), -1).max(axis=1)
        off = np.abs(expected - restored).reshape(len(expected), -1).max(axis=1)
        assert (off <= rows / 127 / 2 * 1.02).all()
        assert off.max() > 0


def test_outputs_are_those_of_each_layer_after_the_relu_that_is_fused_into_it(module, inside):
    import torch

    with torch.no_grad():
        conv = module.relu(module.conv(torch.from_numpy(BATCH))).numpy()
        dense = module(torch.from_numpy(BATCH)).numpy()
    found = {name: pair for name, *pair in inside(STATIC).outputs((BATCH,))}
    for name, reference in (("conv", conv), ("dense", dense)):
        expected, quantized = found[name]
        np.testing.assert_allclose(expected, reference, rtol=1e-4, atol=1e-5)
        assert 0 < np.abs(quantized - expected).max() < 0.1 * np.abs(expected).max()
    assert (found["conv"][1] >= 0).all()


def test_a_layer_that_is_left_in_float_has_its_weights(inside):
    opened = inside(STATIC.model_copy(update={"exclude": ("conv",), "name": "scoped"}))
    expected, restored = next(pair for name, *pair in opened.weights() if name == "conv")
    np.testing.assert_array_equal(expected, restored)
