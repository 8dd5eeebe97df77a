"""Small ONNX models from a few lines of text, with heads that are fitted in closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
from numpy.typing import NDArray
from onnx import numpy_helper

from tests.zoo.entry import SAMPLES, Arrays, Made, rng, write_samples
from tests.zoo.oracle import runtimes

Stored = Mapping[str, NDArray[Any]]


def graph(text: str, stored: Stored | None = None, opset: int = 17, check: bool = True) -> onnx.ModelProto:
    """A model of a graph in ONNX's own text, `(float[batch,3] x) => (float[batch,2] y) { y = MatMul(x, w) }`.

    Args:
        text: inputs, outputs and nodes.
        stored: its tensors, by name.
        opset: version of its operators.
        check: whether ONNX's own checker must accept it.
    """
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}, "com.microsoft": 1]> zoo {text}')
    for name, array in (stored or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{number}"
    if check:
        onnx.checker.check_model(model)
    return model


def weights(*shape: int, scale: float = 1.0, seed: int = 0) -> NDArray[np.float32]:
    """Normal weights whose products keep the scale of what goes in; the first axis is that of the outputs."""
    inputs = max(1, int(np.prod(shape[1:])))
    drawn = np.random.default_rng([seed, *shape]).normal(size=shape)
    return (scale * drawn / np.sqrt(inputs)).astype(np.float32)


def clusters(shape: Sequence[int], classes: int, noise: float = 1.0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Samples of shape (n, *shape) around a centre for each class, for both splits, and their classes."""
    random, count = rng(), sum(SAMPLES.values())
    labels = random.integers(0, classes, count)
    centres = random.normal(size=(classes, *shape))
    return (centres[labels] + noise * random.normal(size=(count, *shape))).astype(np.float32), labels


def noise(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Normal samples of shape (n, *shape), for both splits."""
    return np.random.default_rng(seed).normal(size=(sum(SAMPLES.values()), *shape)).astype(np.float32)


def fit(model: onnx.ModelProto, features: str, head: str, inputs: Arrays, targets: NDArray[Any]) -> onnx.ModelProto:
    """Set the weights `head`, of shape (features, outputs), so that features · head is near targets (n, outputs).

    With ridge regression, whose penalty keeps the weights small.
    """
    cut = onnx.ModelProto.FromString(model.SerializeToString())
    del cut.graph.output[:]
    cut.graph.output.append(onnx.ValueInfoProto(name=features))
    (found,) = runtimes.alone(runtimes.onnx_model(cut.SerializeToString()), inputs)
    found = found.reshape(len(found), -1).astype(np.float64)
    penalty = 1e-2 * np.trace(found.T @ found) / found.shape[1] * np.eye(found.shape[1])
    solved = np.linalg.solve(found.T @ found + penalty, found.T @ targets.reshape(len(targets), -1))
    place = next(i for i, each in enumerate(model.graph.initializer) if each.name == head)
    shape = tuple(model.graph.initializer[place].dims)
    arranged = solved.T if len(shape) > 2 else solved  # a convolution has its outputs first
    model.graph.initializer[place].CopyFrom(numpy_helper.from_array(arranged.reshape(shape).astype(np.float32), head))
    return model


def one_hot(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Classes of shape (n,) as targets of shape (n, classes)."""
    return np.eye(int(labels.max()) + 1)[labels]


def finish(
    folder: Path,
    model: onnx.ModelProto,
    inputs: Mapping[str, NDArray[Any]],
    labels: NDArray[Any] | None = None,
    axes: tuple[int | None, ...] = (),
    floats: bool = True,
    **options: Any,
) -> Made:
    """Write a model and its data, and run it on the evaluation samples, one at a time.

    Args:
        folder: where to.
        model: the model.
        inputs: samples of both splits, by the names of its inputs.
        labels: theirs.
        axes: which axis of each input is the batch; see `Made.axes`.
        floats: whether to run it: what gives another number of rows for each sample cannot be.
        options: of `bitpick.compare`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "model.onnx")
    return finished(folder, folder / "model.onnx", inputs, labels, axes, floats, **options)


def finished(
    folder: Path,
    model: Path,
    inputs: Mapping[str, NDArray[Any]],
    labels: NDArray[Any] | None = None,
    axes: tuple[int | None, ...] = (),
    floats: bool = True,
    **options: Any,
) -> Made:
    """As `finish`, for a model that has its file."""
    first = SAMPLES["train"]
    windows = {"train": slice(first), "test": slice(first, None)}
    more = {} if labels is None else {"labels": labels}
    parts = {name: {key: each[window] for key, each in {**inputs, **more}.items()} for name, window in windows.items()}
    held_out = [each[first:] for each in inputs.values()]
    own = runtimes.alone(runtimes.onnx_model(model), held_out, axes) if floats else []
    data = write_samples(folder / "data", parts)
    return Made(model, data, held_out, own, None if labels is None else labels[first:], axes, options)
