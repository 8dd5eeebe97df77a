from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")

from bitpick.passes.graph_pass import Training
from bitpick.passes.qat import PASS, apply
from bitpick.passes.weight_grid import WeightGrid
from tests.passes.training import small_net

pytestmark = pytest.mark.frameworks


def test_it_trains_within_its_minutes(tmp_path):
    source, told = small_net.network(tmp_path / "net.onnx"), []
    (tmp_path / "evaluation").mkdir()
    evaluation = small_net.samples(tmp_path / "evaluation", count=50, seed=9)
    training = Training(0.0001, 0, evaluation, tmp_path / "net.pt", told.append)
    out = tmp_path / "out.onnx"
    applied = apply(str(source), str(out), small_net.samples(tmp_path), WeightGrid(7, per_channel=True), training)
    assert applied.changed == ["first", "second", "shortcut", "scores"]
    assert applied.trained.epochs == 1
    assert told == ["epoch 1 of 1, 0%"]
    assert out.exists()


def test_its_step_names_the_grid_and_no_draw():
    assert PASS.step(WeightGrid(7, per_channel=True, clipped=True), "1a2b3c4d") == "qat=7_per_channel_clipped"
    assert not PASS.preserves
    assert PASS.gridded
