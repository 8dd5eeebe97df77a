from __future__ import annotations

import numpy as np
import pytest

from bitpick.datasets.dataset import Samples
from bitpick.engines import spread
from bitpick.engines.spread import Spread, Spreads, Step, left_in_float

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 4, (8, 12, 12)).astype(np.float32)
LOW = np.concatenate([LOGITS, np.full((8, 12, 1), -1e5, np.float32)], axis=2)
PADDED = RNG.random((8, 1, 12)) < 0.7


def blown_up(*parts) -> bool:
    found = Spread()
    for part in parts:
        found.add(np.asarray(part, np.float32))
    return found.blown_up


@pytest.mark.parametrize("mask", [-1e4, -65504, -1e9, 1e9, np.finfo(np.float32).min, -np.inf])
def test_a_mask_that_is_added_or_put_in_the_place_of_scores(mask):
    assert blown_up(LOGITS + np.where(PADDED, np.float32(mask), 0))
    assert blown_up(np.where(PADDED, np.float32(mask), LOGITS))
    assert blown_up(LOGITS, np.where(PADDED, np.float32(mask), LOGITS))  # not every batch has a padded sample


@pytest.mark.parametrize(
    "values",
    [
        LOGITS,
        np.maximum(LOGITS, 0),
        np.zeros(5),
        RNG.integers(0, 65536, 1000),  # pixels of 16 bits
        1e6 * LOGITS,
        np.exp(20 * LOGITS[0] / np.abs(LOGITS).max()),  # a long tail
        np.where(PADDED, 0, 1e-20 + np.abs(LOGITS)),
        [0, 1e-30, 1],
    ],
    ids=["normal", "relu", "zeros", "pixels", "large", "exponential", "zeros beside", "tiny"],
)
def test_what_networks_compute_otherwise(values):
    assert not blown_up(values)


def test_numbers_that_are_none():
    assert blown_up([1, np.nan])
    assert blown_up([1, np.inf])


def test_what_computes_a_mask_stays_exact():
    """(1 - kept) * -3.4e38 is 0 only where 1 is exactly 1."""
    steps = [
        Step("project", "MatMul", ("x", "w"), ("kept",)),
        Step("inverse", "Sub", ("one", "kept"), ("far",)),
        Step("scale", "Mul", ("far", "lowest"), ("mask",)),
        Step("scores", "MatMul", ("q", "k"), ("s",)),
        Step("add", "Add", ("s", "mask"), ("masked",)),
        Step("softmax", "Softmax", ("masked",), ("p",)),
        Step("attend", "MatMul", ("p", "v"), ("a",)),
    ]
    mask = np.where(PADDED, np.float32(-1e9), np.float32(0))
    found = Spreads()
    found.add({"kept": (~PADDED).astype(np.float32), "mask": mask, "s": LOGITS, "masked": LOGITS + mask})
    assert [step.name for step in left_in_float(steps, found)] == ["inverse", "scale", "add", "softmax"]


@pytest.mark.parametrize(("large", "left"), [(1e6, ["scale"]), (np.inf, ["scale", "dense"])])
def test_products_with_weights_are_quantized_where_any_scale_fits(large, left):
    table = np.column_stack([RNG.random(50), np.full(50, large)]).astype(np.float32)
    steps = [Step("scale", "Mul", ("x", "s"), ("m",)), Step("dense", "Gemm", ("m", "w"), ("y",))]
    found = Spreads()
    found.add({"x": table, "m": table, "y": LOGITS})
    assert [step.name for step in left_in_float(steps, found)] == left


@pytest.mark.parametrize(
    ("clip", "left"),
    [("Relu", []), ("relu_.default", []), ("hardtanh.default", []), ("LeakyRelu", ["bias", "clip"])],
)
def test_what_a_relu_cuts_off_behind_a_product_blows_up_nothing(clip, left):
    """A convolution's channel at -1e5 that is 0 behind its ReLU; its bias is an operator of its own."""
    steps = [
        Step("conv", "Convolution", ("x", "w"), ("c",)),
        Step("bias", "Add", ("c", "b"), ("d",)),
        Step("clip", clip, ("d",), ("e",)),
    ]
    found = Spreads()
    found.add({"x": LOGITS, "c": LOW, "d": LOW, "e": np.maximum(LOW, 0) if left == [] else LOW})
    assert [step.name for step in left_in_float(steps, found)] == left


def test_what_another_step_reads_too_is_not_cut_off():
    steps = [
        Step("conv", "Conv", ("x", "w"), ("c",)),
        Step("clip", "Relu", ("c",), ("d",)),
        Step("all", "Sigmoid", ("c",), ("e",)),
    ]
    found = Spreads()
    found.add({"x": LOGITS, "c": LOW, "d": np.maximum(LOW, 0)})
    assert [step.name for step in left_in_float(steps, found)] == ["clip", "all"]


def test_a_graph_without_a_mask_stays_as_it_is():
    found = Spreads()
    found.add({"s": LOGITS})
    assert left_in_float([Step("softmax", "Softmax", ("s",), ("p",))], found) == []


def test_integers_have_no_spread():
    found = Spreads()
    found.add({"ids": np.array([1, 10**9]), "scores": np.array([1, 1e9], np.float32)})
    assert found.blown_up == {"scores"}


@pytest.mark.parametrize("size", [None, 3])
def test_some_samples_are_looked_at_a_few_at_a_time(tmp_path, size):
    np.save(tmp_path / "x.npy", np.arange(1000, dtype=np.float32))
    samples = Samples(inputs=(tmp_path / "x.npy",), count=1000, sha256="0")
    sizes = {len(batch[0]) for batch in spread.batches(samples, size)}
    assert sizes == {size or 4}
    assert sum(len(batch[0]) for batch in spread.batches(samples, size)) < 140


def test_the_note_names_the_layers_once():
    assert spread.note("e", []) == ()
    (told,) = spread.note("e", ["Add", "Softmax", "Add"])
    assert told.startswith("e leaves Add, Softmax in float: ")
    (told,) = spread.note("e", map(str, range(9)))
    assert told.startswith("e leaves 0, 1, 2, 3, 4, 5 and 3 more in float: ")
