"""Graphs of a few nodes that are run alone, and what is read of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bitpick.engines.onnxruntime.graph import executed

RNG = np.random.default_rng(0)
MICROSOFT, ML = "com.microsoft", "ai.onnx.ml"


def random(*shape, dtype=np.float32):
    return RNG.normal(size=shape).astype(dtype)


def write(folder: Path, nodes, sample, weights, outputs=("y",), opset=17) -> Path:
    """An ONNX file of some nodes, all of whose axes are free: only a run tells shapes."""
    kinds = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in sample.items()}
    free = {name: [f"{name}{axis}" for axis in range(array.ndim)] for name, array in sample.items()}
    inputs = [helper.make_tensor_value_info(name, kinds[name], axes) for name, axes in free.items()]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    stored = [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "one", inputs, given, stored)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1), helper.make_opsetid(ML, 3)]
    path = folder / "one.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def read(folder, nodes, sample, weights, settings=None, **more):
    """What ONNX Runtime executes for some nodes."""
    return executed(write(folder, nodes, sample, weights, **more), settings or {}, tuple(sample.values()))


def totals(found):
    return sum(o.weights for o in found.operators), sum(o.macs for o in found.operators)


def node(kind, inputs="x W", outputs="y", **attributes):
    return helper.make_node(kind, inputs.split(" "), outputs.split(" "), "it", **attributes)
