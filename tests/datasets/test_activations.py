from __future__ import annotations

import pytest

from bitpick.datasets.activations import BATCH_BYTES, Activations, of_graph

CHAIN = [(["x", "w"], ["a"]), (["a"], ["b"]), (["b"], ["y"])]


def test_the_peak_is_of_tensors_that_exist_at_one_time():
    found = of_graph(CHAIN, {"x": 1, "a": 20, "b": 10, "y": 2}, ["y"])
    assert (found.peak, found.total) == (1 + 20 + 10, 33)


def test_a_tensor_is_kept_until_its_last_reader():
    steps = [(["x"], ["a"]), (["a"], ["b"]), (["b"], ["c"]), (["a", "c"], ["y"])]
    assert of_graph(steps, dict.fromkeys("xabcy", 10), ["y"]).peak == 10 + 10 + 10 + 10


def test_outputs_are_kept_to_the_end_and_what_nobody_reads_is_not():
    steps = [(["x"], ["early", "unread"]), (["early"], ["a"]), (["a"], ["y"])]
    sizes = {"x": 1, "early": 100, "unread": 1000, "a": 10, "y": 10}
    assert of_graph(steps, sizes, ["early", "y"]).peak == 1 + 100 + 1000
    assert of_graph(steps, sizes | {"unread": 0}, ["early", "y"]).peak == 1 + 100 + 10 + 10


def test_a_graph_of_several_samples_at_once_is_told_for_one():
    found = of_graph(CHAIN, {"x": 8, "a": 80, "b": 80, "y": 8}, ["y"], together=8)
    assert (found.peak, found.total, found.together) == (21, 22, 8)


@pytest.mark.parametrize(
    ("peak", "together", "size"),
    [
        (1000, 1, 500),
        (BATCH_BYTES // 10, 1, 10),
        (10 * BATCH_BYTES, 1, 1),
        (BATCH_BYTES // 10, 4, 8),
        (BATCH_BYTES, 4, 4),
    ],
)
def test_small_models_get_large_batches_and_large_ones_as_many_samples_as_fit(peak, together, size):
    assert Activations(peak=peak, total=10 * peak, together=together).fitting(500) == size


def test_whoever_keeps_every_tensor_gets_fewer_samples():
    assert Activations(peak=BATCH_BYTES // 100, total=BATCH_BYTES // 20).fitting(50, kept=True) == 10
