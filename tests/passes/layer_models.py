"""Networks of one or a few layers, for tests of the passes that tune them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from bitpick.datasets.dataset import Samples


def model(
    nodes: list[Any], stored: dict[str, np.ndarray], shape: list[Any], outputs: tuple[str, ...] = ("y",)
) -> onnx.ModelProto:
    """A model with the input `x` of this shape."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [onnx.numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)  # the checker wants the shapes of outputs


def samples(folder: Path, array: np.ndarray, **fields: Any) -> Samples:
    """Samples of a model with one input."""
    np.save(folder / "samples.npy", array)
    return Samples(inputs=(folder / "samples.npy",), count=len(array), sha256="0", **fields)


def residual(generator: np.random.Generator, channels: int = 8) -> onnx.ModelProto:
    """A small residual network of three convolutions, one of them depthwise, and a dense layer."""
    make = helper.make_node

    def weights(*shape: int) -> np.ndarray:
        return (generator.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    nodes = [
        make("Conv", ["x", "w1", "b1"], ["c1"], "first", pads=[1, 1, 1, 1]),
        make("Relu", ["c1"], ["r1"], "relu1"),
        make("Conv", ["r1", "w2"], ["c2"], "depthwise", pads=[1, 1, 1, 1], group=channels),
        make("Relu", ["c2"], ["r2"], "relu2"),
        make("Conv", ["r2", "w3", "b3"], ["c3"], "pointwise"),
        make("Add", ["c3", "r1"], ["sum"], "add"),
        make("ReduceMean", ["sum"], ["m"], "mean", axes=[2, 3], keepdims=0),
        make("MatMul", ["m", "w4"], ["p"], "dense"),
        make("Add", ["p", "b4"], ["y"], "bias"),
    ]
    stored = {
        "w1": weights(channels, 3, 3, 3),
        "b1": weights(channels, 1)[:, 0],
        "w2": weights(channels, 1, 3, 3),
        "w3": weights(channels, channels, 1, 1),
        "b3": weights(channels, 1)[:, 0],
        "w4": weights(channels, 5),
        "b4": weights(5, 1)[:, 0],
    }
    return model(nodes, stored, ["n", 3, 8, 8])
