"""A small residual network, and pictures of four classes that it is good at."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bitpick.datasets.dataset import Samples

CLASSES = 4


def network(path, softmax=True):
    """Write the clean graph: two convolutions, an addition, a mean, and a matrix product whose weights fit the data."""
    generator = np.random.default_rng(0)
    shapes = {"a": (8, 1, 3, 3), "b": (8, 8, 3, 3), "c": (8, 8, 1, 1)}
    stored = {name: generator.normal(0, 0.4, shape) for name, shape in shapes.items()}
    stored |= {f"{name}_bias": generator.normal(0, 0.1, 8) for name in "ab"}
    stored |= {"d": np.zeros((8, CLASSES)), "d_bias": np.zeros((1, CLASSES))}
    nodes = [
        helper.make_node("Conv", ["x", "a", "a_bias"], ["first"], "first", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["first"], ["relu"], "relu"),
        helper.make_node("Conv", ["relu", "b", "b_bias"], ["second"], "second", pads=[1] * 4, kernel_shape=[3, 3]),
        helper.make_node("Conv", ["relu", "c"], ["shortcut"], "shortcut", kernel_shape=[1, 1]),
        helper.make_node("Add", ["second", "shortcut"], ["sum"], "sum"),
        helper.make_node("Relu", ["sum"], ["features"], "last relu"),
        helper.make_node("ReduceMean", ["features"], ["mean"], "mean", axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["mean", "d", "d_bias"], ["scores"], "scores"),
        *([helper.make_node("Softmax", ["scores"], ["classes"], "classes", axis=-1)] if softmax else []),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 16, 16])],
        [helper.make_tensor_value_info("classes" if softmax else "scores", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    pictures, labels = data(400, seed=1)
    means = given(model, pictures, "mean")
    columns = np.hstack([means, np.ones((len(means), 1))])
    fitted = np.linalg.lstsq(columns, 8 * np.eye(CLASSES)[labels], rcond=None)[0]
    for each in model.graph.initializer:
        if each.name in ("d", "d_bias"):
            value = fitted[:-1] if each.name == "d" else fitted[-1:]
            each.CopyFrom(numpy_helper.from_array(value.astype(np.float32), each.name))
    onnx.save(model, path)
    return path


def data(count, seed):
    """Return pictures of stripes, of shape (count, 1, 16, 16), and how they lie."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, count)
    rows, columns = np.mgrid[:16, :16]
    along = np.stack([rows, columns, rows + columns, rows - columns])[labels]
    stripes = np.sin(1.5 * along + generator.uniform(0, 6, (count, 1, 1)))
    return (stripes + generator.normal(0, 0.5, stripes.shape)).astype(np.float32)[:, None], labels


def samples(folder, count=400, labels=True, seed=2):
    """Write a split."""
    pictures, classes = data(count, seed)
    np.save(folder / "pictures.npy", pictures)
    np.save(folder / "labels.npy", classes)
    return Samples(
        inputs=(folder / "pictures.npy",),
        labels=folder / "labels.npy" if labels else None,
        count=count,
        sha256=f"{count}{labels}",
    )


def given(model, pictures, tensor=None):
    """Return what a model, or one of its tensors, is for pictures."""
    import onnxruntime as ort

    copy = (
        onnx.load(model)
        if not isinstance(model, onnx.ModelProto)
        else onnx.ModelProto.FromString(model.SerializeToString())
    )
    if tensor is not None:
        copy.graph.output.append(helper.make_empty_tensor_value_info(tensor))
    session = ort.InferenceSession(copy.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([tensor] if tensor else None, {"x": pictures})[0]
