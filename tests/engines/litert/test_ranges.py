from __future__ import annotations

import numpy as np
import pytest

from bitpick.datasets.dataset import Samples
from bitpick.engines.litert import ranges
from bitpick.engines.litert.library_recipe import manager_of
from bitpick.preprocessing import Preprocessing
from bitpick.recipe import Recipe
from tests.engines.litert.files import Graph, Tensor, op, stored, write

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors:UserWarning"),
]
pytest.importorskip("litert_quantizer", reason="LiteRT is not installed: pip install 'bitpick[litert]'")

RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(4, 3)).astype(np.float32)
ENDS = {"x": "input_0", "y": "output_0"}


def samples(tmp_path, values):
    np.save(tmp_path / "x.npy", values.astype(np.float32))
    return Samples(inputs=(tmp_path / "x.npy",), count=len(values), sha256="0", preprocessing=(Preprocessing(),))


def masked(path, mask, batch=1):
    """A dense layer, a mask that is added to its numbers, and their softmax."""
    tensors = [Tensor("x", (batch, 3)), stored("w", WEIGHT), stored("mask", np.float32(mask))]
    tensors += [Tensor(name, (batch, 4)) for name in ("scores", "masked", "y")]
    ops = [
        op("FULLY_CONNECTED", "x w - -> scores"),
        op("ADD", "scores mask -> masked"),
        op("SOFTMAX", "masked -> y", beta=1.0),
    ]
    return write(path, Graph(tensors, ops, "x", "y"), signature=ENDS)


@pytest.mark.parametrize("batch", [1, 4])
def test_what_a_mask_blows_up_stays_in_float(tmp_path, batch):
    path = masked(tmp_path / "m.tflite", [0, 0, -1e9, 0], batch)
    found = ranges.blown_up(path, f"{batch}", samples(tmp_path, RNG.normal(size=(10, 3))))
    assert found == {"masked": "ADD", "y": "SOFTMAX"}


def test_a_graph_without_a_mask_is_quantized_as_a_whole(tmp_path):
    path = masked(tmp_path / "m.tflite", [0, 0, -3, 0])
    assert ranges.blown_up(path, "none", samples(tmp_path, RNG.normal(size=(10, 3)))) == {}


def collected(path, calibration, given):
    recipe = Recipe.parse(f"litert:s8s8-per_channel-{calibration}")
    return ranges.collect(path, calibration, manager_of(recipe), given)


def test_minima_and_maxima_are_those_of_every_sample_and_moving_averages_forget(tmp_path):
    path = masked(tmp_path / "m.tflite", [0, 0, 0, 0])
    values = RNG.uniform(-1, 1, (120, 3))
    values[0, 1], values[60, 2] = -50, 40
    given = samples(tmp_path, values)
    whole, moving = (collected(path, name, given) for name in ("minmax", "moving_average"))
    assert (float(np.min(whole["x"]["min"])), float(np.max(whole["x"]["max"]))) == (-50, 40)
    scores = values @ WEIGHT.T
    assert float(np.max(whole["scores"]["max"])) == pytest.approx(scores.max(), rel=1e-5)
    assert -2 < float(np.min(moving["x"]["min"])) < -0.3
    assert 0.3 < float(np.max(moving["x"]["max"])) < 3


def test_a_graph_that_takes_four_samples_at_once_sees_all_of_them(tmp_path):
    path = masked(tmp_path / "m.tflite", [0, 0, 0, 0], batch=4)
    values = RNG.uniform(-1, 1, (10, 3))
    values[9, 0] = 30
    assert float(np.max(collected(path, "minmax", samples(tmp_path, values))["x"]["max"])) == 30


def test_a_tensor_that_is_always_zero_gets_a_range_that_a_scale_can_be_made_of(tmp_path):
    tensors = [Tensor("x", (1, 3)), stored("w", np.zeros((4, 3), np.float32)), Tensor("y", (1, 4))]
    path = write(tmp_path / "m.tflite", Graph(tensors, [op("FULLY_CONNECTED", "x w - -> y")], "x", "y"), signature=ENDS)
    found = collected(path, "minmax", samples(tmp_path, RNG.normal(size=(5, 3))))["y"]
    assert (float(np.min(found["min"])), float(np.max(found["max"]))) == (0, 1)


def test_ranges_are_the_same_numbers_once_read_again(tmp_path):
    path = masked(tmp_path / "m.tflite", [0, 0, 0, 0])
    written = collected(path, "moving_average", samples(tmp_path, RNG.normal(size=(30, 3)) / 3))
    ranges.save(written, tmp_path / "ranges.json")
    read = ranges.load(tmp_path / "ranges.json")
    assert read.keys() == written.keys() != set()
    for name, each in written.items():
        for end in ("min", "max"):
            np.testing.assert_array_equal(read[name][end], each[end])
            assert (read[name][end].dtype, read[name][end].shape) == (each[end].dtype, each[end].shape)
