"""Weight-only quantization of an ONNX graph: weights in 8 or 4 bits, each dequantized where it is used."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.errors import EngineError

WEIGHTED = ("Conv", "Gemm", "MatMul")
_CONTRIBUTED = "com.microsoft"
_KNOWS_FOUR_BITS = 10  # the first version of ONNX's format with four-bit integers


def stored(source: Path) -> Iterator[tuple[Sequence[str], NDArray[Any]]]:
    """Yield the name, alone in a tuple, and the weights of each node with stored weights that can be quantized."""
    import onnx

    graph = onnx.load(source).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in WEIGHTED and node.name and node.input[1] in tensors:
            yield (node.name,), onnx.numpy_helper.to_array(tensors[node.input[1]])


def quantize(source: Path, out: Path, bits: int, exclude: Collection[str] = (), others: Collection[str] = ()) -> None:
    """Write a graph with symmetric signed weights and one scale for each output channel; biases stay in float.

    Args:
        source: a clean float graph.
        out: the file to write.
        bits: 8 or 4. The operator that dequantizes 4 bits is ONNX Runtime's own, so that the opset need not change.
        exclude: names of the nodes that keep their float weights.
        others: names of the nodes whose weights have 4 bits instead of 8, or 8 instead of 4.

    Raises:
        EngineError: nodes that share their weights are to have different ones.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(source)
    if bits == 4 or others:
        model.ir_version = max(model.ir_version, _KNOWS_FOUR_BITS)
        if all(entry.domain != _CONTRIBUTED for entry in model.opset_import):
            model.opset_import.append(helper.make_opsetid(_CONTRIBUTED, 1))
    initializers = {i.name: i for i in model.graph.initializer}
    in_float = {name for node in model.graph.node if node.name in exclude for name in node.input}  # may be shared
    _check_shared(model.graph, others)
    nodes = []
    for node in model.graph.node:
        if node.op_type in WEIGHTED and node.input[1] in initializers.keys() - in_float:
            name = node.input[1]
            four = (bits == 4) != (node.name in others)
            levels = np.float32(7 if four else 127)
            dtype = helper.tensor_dtype_to_np_dtype(TensorProto.INT4) if four else np.int8
            weight = numpy_helper.to_array(initializers.pop(name))
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            axis = 0 if node.op_type == "Conv" or transposed else weight.ndim - 1
            other_axes = tuple(i for i in range(weight.ndim) if i != axis)
            largest = np.abs(weight).max(axis=other_axes, keepdims=True)
            scale = np.where(largest > 0, largest, 1).astype(np.float32) / levels
            integers = np.clip(np.round(weight / scale), -levels, levels).astype(dtype)
            model.graph.initializer.remove(next(i for i in model.graph.initializer if i.name == name))
            model.graph.initializer.append(numpy_helper.from_array(integers, f"{name}_quantized"))
            model.graph.initializer.append(numpy_helper.from_array(scale.reshape(-1), f"{name}_scale"))
            inputs = [f"{name}_quantized", f"{name}_scale"]
            node_name = f"{name}_dequantized"
            domain = _CONTRIBUTED if four else ""
            nodes.append(helper.make_node("DequantizeLinear", inputs, [name], node_name, domain=domain, axis=axis))
    nodes += model.graph.node
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, out)


def _check_shared(graph: Any, others: Collection[str]) -> None:
    """Refuse a graph in which nodes share their weights, and only some of these have other weights.

    Raises:
        EngineError: there are such nodes.
    """
    names = {node.input[1] for node in graph.node if node.name in others}
    rest = [node.name for node in graph.node if node.name not in others and names & set(node.input)]
    if rest:
        raise EngineError(
            f"{rest[0]} shares its weights with layers that are to have others",
            fix="let the recipe's weights match all of them or none",
        )
