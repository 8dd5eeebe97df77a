from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")

from torch import nn  # noqa: E402

from bitpick.passes.training.layers import TrainedLayer, is_layer  # noqa: E402
from bitpick.passes.weight_grid import WeightGrid  # noqa: E402

pytestmark = pytest.mark.frameworks


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


LAYERS = {
    "convolution": (nn.Conv2d(3, 8, 3, padding=1), (64, 3, 6, 6)),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4, bias=False), (64, 4, 6, 6)),
    "sequence": (nn.Conv1d(3, 8, 3, stride=2), (64, 3, 9)),
    "linear": (nn.Linear(5, 8), (256, 5)),
    "positions": (nn.Linear(5, 8), (64, 7, 5)),
}


def started(name, levels, normed, lopsided=False):
    inner, shape = LAYERS[name]
    inputs = 40 * random(*shape) + 7
    layer = TrainedLayer(inner, levels, normed, lopsided)
    layer.mode = "watch"
    with torch.no_grad():
        layer(inputs)
        expected = inner(inputs)
    layer.start()
    return layer, inputs, expected


@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_the_training_form_is_the_identity_at_the_start(name, normed):
    layer, inputs, expected = started(name, None, normed)
    for module in (layer.eval(), layer.train()):  # the statistics were those of this batch
        torch.testing.assert_close(module(inputs), expected, rtol=1e-3, atol=1e-3 * float(expected.std()))
    if normed:
        norms = layer.weight.detach().flatten(1).norm(dim=1)
        torch.testing.assert_close(norms, torch.ones_like(norms))


@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_folding_keeps_the_function_and_the_grid(name, normed):
    layer, inputs, _ = started(name, 7, normed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(1 + 0.1 * random(*parameter.shape))
        layer.train()(inputs)
        layer.eval()
        weight, bias = layer.folded()
        plain, expected = layer._product(inputs.double(), weight, bias), layer(inputs)
    torch.testing.assert_close(plain.float(), expected, rtol=1e-3, atol=1e-3 * float(expected.std()))
    rows = weight.flatten(1)
    multiples = rows / (rows.abs().amax(1, keepdim=True) / 7)
    torch.testing.assert_close(multiples, multiples.round(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("name", ["convolution", "linear"])
def test_an_engine_that_scales_by_the_largest_weight_finds_a_lopsided_grid_again(name, normed):
    layer, _, _ = started(name, 8, normed, lopsided=True)
    if normed:
        with torch.no_grad():
            layer.gain[::2] *= -1  # which turns the longer side round
    rows = layer.folded()[0].flatten(1).detach().numpy()
    grid = WeightGrid(8, True, lopsided=True)
    np.testing.assert_allclose(grid.nearest(rows, grid.scales(rows)), rows, rtol=1e-5)


def test_a_silent_channel_stays_finite():
    inner = nn.Conv2d(3, 4, 3)
    with torch.no_grad():
        inner.weight[2] = 0
    layer = TrainedLayer(inner, 7, normed=True).train()
    layer.mode = "watch"
    inputs = random(8, 3, 6, 6)
    with torch.no_grad():
        layer(inputs)
    layer.start()
    layer(inputs).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())
    assert all(each.isfinite().all() for each in layer.folded())


def test_gain_and_bias_of_a_batch_norm_are_of_its_outputs_scale():
    layer, _, expected = started("convolution", 7, normed=True)
    deviation = float(expected.std((0, 2, 3)).square().mean().sqrt())
    assert layer.scale(layer.gain) == layer.scale(layer.bias) == pytest.approx(deviation, rel=0.01)
    assert layer.scale(layer.weight) == pytest.approx(27**-0.5)


def test_only_plain_layers_have_a_training_form():
    assert is_layer(nn.Conv2d(1, 1, 1))
    assert is_layer(nn.Linear(1, 1))
    assert not is_layer(nn.ConvTranspose2d(1, 1, 1))
    assert not is_layer(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"))
    assert not is_layer(nn.ReLU())
