"""An ONNX file as converters write it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper


def converter_graph(path: Path, opset: int = 17, batch: str = "unk__7") -> Path:
    """Write a graph with a separate batch norm, dead nodes, constants to fold and long names; returns its path."""
    rng = np.random.default_rng(0)

    def stored(name: str, *shape: int) -> onnx.TensorProto:
        return onnx.numpy_helper.from_array(rng.random(shape).astype(np.float32) + 0.1, name)

    nodes = [
        helper.make_node("Conv", ["x", "net/conv/W:0", "net/conv/b:0"], ["net/conv/out:0"], "net/conv/Conv2D"),
        helper.make_node("BatchNormalization", ["net/conv/out:0", "g", "s", "m", "v"], ["net/bn:0"], "net/bn/FusedBN"),
        helper.make_node("Relu", ["net/bn:0"], ["net/relu:0"], "net/act/Relu"),
        helper.make_node("Identity", ["net/relu:0"], ["net/id:0"], "net/id/Identity"),
        helper.make_node("Sigmoid", ["net/relu:0"], ["dead"], "net/dead/Sigmoid"),
        helper.make_node("GlobalAveragePool", ["net/id:0"], ["net/pool:0"], "net/pool/Mean"),
        helper.make_node("Flatten", ["net/pool:0"], ["net/flat:0"], "net/flat/Reshape"),
        helper.make_node("MatMul", ["net/flat:0", "net/dense/W:0"], ["net/mm:0"], "net/dense/MatMul"),
        helper.make_node("Add", ["net/mm:0", "net/dense/b:0"], ["net/logits:0"], "net/dense/BiasAdd"),
        helper.make_node("Softmax", ["net/logits:0"], ["scores"], "net/dense/Softmax"),
    ]
    weights = [
        stored("net/conv/W:0", 8, 3, 3, 3), stored("net/conv/b:0", 8), stored("g", 8), stored("s", 8), stored("m", 8),
        stored("v", 8), stored("net/dense/W:0", 8, 4), stored("net/dense/b:0", 4),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 6, 6])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 4])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path
