from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")

from bitpick.passes.training.batches import Augmentation  # noqa: E402
from bitpick.passes.training.pupil import Pupil  # noqa: E402
from bitpick.passes.weight_grid import WeightGrid  # noqa: E402
from tests.passes.training import small_net  # noqa: E402

pytestmark = pytest.mark.frameworks

GRIDS = {levels: WeightGrid(levels, per_channel=True) for levels in (1, 7, 127)}


def test_pictures_are_changed_only_as_the_float_network_allows(tmp_path):
    source = small_net.network(tmp_path / "net.onnx")
    # Turned left to right, one diagonal is the other.
    pupil = Pupil(source, small_net.samples(tmp_path), np.arange(400), GRIDS[7], batch=50, seed=0)
    assert pupil.batches.augmentation == Augmentation(flip=False, shift=2)


def test_inputs_that_are_no_scores_of_classes_are_left_as_they_are(tmp_path):
    source = small_net.network(tmp_path / "net.onnx", softmax=False)
    samples = small_net.samples(tmp_path, labels=False)
    assert Pupil(source, samples, np.arange(400), GRIDS[7], batch=50, seed=0).batches.augmentation is None


def test_the_loss_starts_near_the_float_networks_and_follows_the_weights(tmp_path):
    samples = small_net.samples(tmp_path)
    pupil = Pupil(small_net.network(tmp_path / "net.onnx"), samples, np.arange(400), GRIDS[127], batch=50, seed=0)
    pupil.start()
    fine = pupil.held_out_loss()
    coarse_pupil = Pupil(tmp_path / "net.onnx", samples, np.arange(400), GRIDS[1], batch=50, seed=0)
    coarse_pupil.start()
    assert fine < 0.5 * coarse_pupil.held_out_loss()
    loss = pupil.loss(*next(pupil.batches.epoch(1)))
    loss.backward()
    assert np.isfinite(loss.item())
    assert all(parameter.grad.isfinite().all() for parameter in pupil.module.parameters())


def test_settled_statistics_are_the_mean_over_many_batches(tmp_path):
    source = small_net.network(tmp_path / "net.onnx")
    pupil = Pupil(source, small_net.samples(tmp_path), np.arange(400), GRIDS[127], batch=50, seed=0)
    pupil.start()
    layer = pupil.network.layers["first"]
    fine, mean = pupil.held_out_loss(), layer.mean.clone()
    for each in pupil.network.layers.values():
        each.mean.fill_(1000.0)
        each.variance.fill_(1000.0)
    assert pupil.held_out_loss() > 2 * fine
    pupil.settle()
    assert pupil.held_out_loss() < 1.5 * fine
    torch.testing.assert_close(layer.mean, mean, rtol=0.05, atol=0.02)
    assert layer.momentum == 0.1
