from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bitpick.datasets.dataset import Samples
from bitpick.errors import DataError
from bitpick.models.model import Signature, Tensor
from bitpick.preprocessing import Preprocessing
from bitpick.schema.judging import Judging
from bitpick.tasks.case import Case, FloatRun
from bitpick.tasks.guess import guess

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 6)).astype(np.float32)


@pytest.fixture
def kind(tmp_path):
    """The kind that is guessed for a model that gives these outputs for these inputs, and labels."""

    def guessed(outputs, inputs=X, labels=None, classes=(), **more):
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        paths = tuple(tmp_path / f"x{i}.npy" for i in range(len(inputs)))
        for path, array in zip(paths, inputs, strict=True):
            np.save(path, array)
        if labels is not None:
            np.save(tmp_path / "labels.npy", labels)
        samples = Samples(
            inputs=paths,
            labels=None if labels is None else tmp_path / "labels.npy",
            count=len(inputs[0]),
            sha256="",
            preprocessing=(Preprocessing(),) * len(inputs),
        )
        ends = Signature(
            tuple(Tensor(f"x{i}", each.shape[1:]) for i, each in enumerate(inputs)),
            tuple(Tensor(f"y{i}", each.shape[1:], each.dtype.name) for i, each in enumerate(outputs)),
        )
        case = Case(ends, classes, labels, "m.onnx", Judging(), **more)
        guessed.because = ""
        first = guess(case)
        found = guess(replace(case, float_run=FloatRun(samples, outputs))) if first.unsure else first
        assert not found.unsure
        guessed.because = found.because
        return found.kind

    return guessed


def test_an_output_shaped_like_the_input_is_a_reconstruction_only_if_it_is_that_input_again(kind):
    assert kind(X + 0.1 * RNG.normal(size=X.shape).astype(np.float32)) == "reconstruction"
    assert "0.99% of the input's variance" in kind.because or "1% of the input's variance" in kind.because
    assert kind(np.abs(X)) == "deviation"
    assert kind(X + RNG.normal(size=X.shape).astype(np.float32)) == "deviation"
    assert kind(np.broadcast_to(X.mean(axis=0), X.shape)) == "deviation"  # the mean explains nothing
    assert "the output" in kind.because


def test_what_only_looks_like_a_reconstruction(kind):
    clean = np.sin(np.linspace(0, 6, 64))[None, :, None, None] * RNG.normal(size=(200, 1, 1, 1)) * np.ones((1, 1, 8, 1))
    noisy = clean + 0.5 * RNG.normal(size=clean.shape)
    assert kind(clean.astype(np.float32), noisy.astype(np.float32)) == "deviation"  # a denoiser
    mask = (noisy > 0).astype(np.float32)
    assert kind(mask, noisy.astype(np.float32)) == "deviation"
    state = np.tanh(X)
    assert kind((state[:, :1], state), (X, X)) == "deviation"  # a step of a recurrent network
    assert kind(state, (X, X)) == "deviation"  # two inputs


def test_without_labels_scores_are_told_from_values(kind):
    logits = 4 * RNG.normal(size=(200, 10)).astype(np.float32)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for scores in (logits, shares, np.log(shares), logits[:, :, None, None]):
        assert kind(scores) == "agreement"
    points = (64 * RNG.random((200, 1)) + np.arange(42)).astype(np.float32)
    for values in (points, points / 200, RNG.normal(size=(200, 128)) / 11, points - points.mean()):
        assert kind(values.astype(np.float32)) == "deviation"
    assert kind(RNG.random((200, 1))) == "deviation"
    assert kind((points, RNG.random((200, 21)))) == "deviation"  # key points beside visibilities
    assert kind((points, logits), classes=tuple("abcdefghij")) == "agreement"


def test_whole_numbers_beside_one_number_are_values_and_names_are_classes(kind):
    one = RNG.normal(size=(90, 1)).astype(np.float32)
    ages = np.arange(90)
    assert kind(one, X[:90], ages, tuple(map(str, range(90)))) == "regression"
    assert kind(one, X[:90], ages.astype(np.float32)) == "regression"
    assert kind(one, X[:90], ages % 2, ("0", "1")) == "classification"
    assert kind(one, X[:90], ages % 2, ("-1", "1")) == "classification"
    assert kind(one, X[:90], ages % 3, ("cat", "dog", "fish")) == "classification"


def test_0_and_1_beside_the_input_again_are_anomalies_and_beside_scores_classes(kind):
    labels = np.arange(200) % 2
    names = tuple(map(str, range(6)))
    assert kind(X, X, labels, names) == "anomaly"
    assert kind(np.abs(X), X, labels, names) == "classification"
    assert kind(X[:, :2], X[:, :2], labels, ("0", "1")) == "classification"
    # It reconstructs badly, and abnormal samples worse.
    assert kind(0.2 * X, X * (1 + 2 * labels[:, None]).astype(np.float32), labels, names) == "anomaly"
    # What is learned from normal samples alone is no classifier.
    assert kind(np.abs(X), X, labels, names, one_class=True) == "anomaly"
    picture = RNG.random((200, 4, 4, 1)).astype(np.float32)
    with pytest.raises(DataError, match="does not reproduce it"):
        kind(RNG.random((200, 4, 4, 1)).astype(np.float32), picture, labels, ("0", "1"))


def test_the_class_of_anomalies_is_the_second_one(kind):
    labels = np.arange(200) % 2
    picture = RNG.normal(size=(200, 4, 4)).astype(np.float32)
    worse = [picture + (0.1 + 0.3 * (labels == side))[:, None, None] for side in (0, 1)]
    for names in (("-1", "1"), ("abnormal", "normal")):
        with pytest.raises(DataError, match=f"class {names[0]} worse than those of {names[1]}") as error:
            kind(worse[0].astype(np.float32), picture, labels, names)
        assert error.value.fix == f"--classes {names[1]},{names[0]}"
    assert kind(worse[1].astype(np.float32), picture, labels, ("normal", "abnormal")) == "anomaly"


def test_labels_at_each_position_are_no_values(kind):
    image = RNG.random((20, 3, 8, 8)).astype(np.float32)
    logits, scores = RNG.normal(size=(20, 1, 8, 8)), RNG.normal(size=(20, 5, 8, 8))
    mask, classes = RNG.integers(0, 2, (20, 1, 8, 8)), RNG.integers(0, 5, (20, 8, 8))
    assert kind(logits, image, mask) == "segmentation"
    assert kind(logits, image, mask[:, 0].astype(np.float32)) == "segmentation"
    assert kind(scores, image, classes) == "segmentation"
    assert kind(scores.transpose(0, 2, 3, 1), image, classes) == "segmentation"
    assert kind(logits, image, RNG.random((20, 1, 8, 8))) == "regression"
    tokens = RNG.integers(0, 9, (20, 12))
    assert kind(RNG.normal(size=(20, 12, 9)), tokens, tokens) == "segmentation"
    assert kind(RNG.normal(size=(20, 12, 1)), tokens, tokens % 2) == "segmentation"
    assert kind(RNG.normal(size=(20, 12)), tokens, tokens % 2) == "multilabel"
    assert kind(RNG.normal(size=(20, 12, 1)), tokens, RNG.normal(size=(20, 12))) == "regression"
    assert kind(RNG.normal(size=(20, 12)), tokens, RNG.normal(size=(20, 12, 1))) == "regression"


def test_without_labels_numbers_of_classes_are_told_from_amounts(kind):
    assert kind(np.arange(200) % 7) == "agreement"
    assert "the number of a class" in kind.because
    for amounts in (1_700_000_000 + np.arange(200), np.arange(200) - 100, (np.arange(200) % 7).astype(np.float32)):
        assert kind(amounts) == "deviation"
