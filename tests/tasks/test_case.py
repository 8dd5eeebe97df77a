from __future__ import annotations

import numpy as np

from bitpick.datasets.dataset import Samples
from bitpick.models.model import Signature, Tensor
from bitpick.schema.judging import Judging
from bitpick.tasks.case import Case, FloatRun, binary


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


def test_how_far_an_output_is_from_an_input_and_from_the_best_constant(tmp_path):
    inputs = np.array([[1.0, 0.0], [3.0, 4.0]], np.float32)
    np.save(tmp_path / "x.npy", inputs)
    samples = Samples(inputs=(tmp_path / "x.npy",), count=2, sha256="")
    outputs = np.array([[1.0, 1.0], [3.0, 2.0]], np.float32)
    errors, left = FloatRun(samples, (outputs,)).errors(0, 0)
    assert errors.tolist() == [0.5, 2.0]
    assert left == 1.25 / 2.5  # the variances of the two values are 1 and 4
    assert FloatRun(samples, (inputs,)).errors(0, 0)[1] == 0
