from __future__ import annotations

import numpy as np

from bitpick.judging import Judging
from bitpick.measures.tasks.case import Case, binary
from bitpick.model import Signature, Tensor


def case(labels=None):
    inputs = (Tensor("ids", (4,), "int64"), Tensor("image", (2, 2)))
    outputs = (Tensor("free", None), Tensor("score", ()), Tensor("grid", (None, 4)), Tensor("again", (2, 2)))
    return Case(Signature(inputs, outputs), (), labels, "m.onnx", Judging())


def test_what_outputs_could_be():
    found = case(np.zeros((5, 3, 4)))
    assert found.counts == [0, 1, 0, 0]
    assert found.mirrored == (3, 1)
    assert found.like_labels == 0  # nothing is known of its shape
    assert "score (batch) float32" in found.gives


def test_an_input_of_token_ids_is_not_reconstructed():
    ends = Signature((Tensor("ids", (4,), "int64"),), (Tensor("scores", (4,)),))
    assert Case(ends, (), None, "m.onnx", Judging()).mirrored is None


def test_labels_of_0_and_1():
    assert binary(np.array([0.0, 1.0]))
    assert not binary(np.array([0, 2]))


def test_whole_numbers_beside_one_number_are_values_and_names_are_classes():
    ends = Signature((Tensor("x", (4,)),), (Tensor("age", (1,)),))
    ages = np.arange(90)
    assert Case(ends, tuple(map(str, range(90))), ages, "m.onnx", Judging()).guess == "regression"
    assert Case(ends, ("0", "1"), ages % 2, "m.onnx", Judging()).guess == "classification"
    assert Case(ends, ("cat", "dog", "fish"), ages % 3, "m.onnx", Judging()).guess == "classification"


def test_an_output_like_the_input_beside_labels_of_0_and_1_is_a_reconstruction_and_not_that_many_classes():
    labels = np.arange(50) % 2
    for size, task in ((640, "anomaly"), (2, "classification")):
        ends = Signature((Tensor("x", (size,)),), (Tensor("y", (size,)),))
        assert Case(ends, tuple(map(str, range(size))), labels, "m.onnx", Judging()).guess == task
    ends = Signature((Tensor("x", (8,)),), (Tensor("y", (8,)),))
    assert Case(ends, tuple(map(str, range(8))), np.arange(50) % 8, "m.onnx", Judging()).guess == "classification"
