"""Small LiteRT files, written tensor by tensor with the format's own schema: to make them takes no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# The versions of operators that take integers.
_VERSIONS = {"FULLY_CONNECTED": 4, "DEPTHWISE_CONV_2D": 3, "ADD": 2, "DEQUANTIZE": 2, "QUANTIZE": 1}
_OPTIONS = {
    "FULLY_CONNECTED": "FullyConnectedOptions", "ADD": "AddOptions", "WHILE": "WhileOptions", "IF": "IfOptions",
    "LESS": "LessOptions", "RESHAPE": "ReshapeOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "SOFTMAX": "SoftmaxOptions", "MUL": "MulOptions", "GATHER": "GatherOptions",
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """A tensor of a graph: one that is stored has values; integers may have scales, along an axis."""

    name: str
    shape: tuple[int, ...] = ()
    values: Any = None
    dtype: Any = np.float32
    scales: tuple[float, ...] = ()
    zeros: tuple[int, ...] = ()
    axis: int = 0
    free: bool = False


def stored(name: str, values: Any, **more: Any) -> Tensor:
    """A tensor that is stored."""
    array = np.asarray(values)
    return Tensor(name, array.shape, array, array.dtype.type, **more)


@dataclass(frozen=True)
class Op:
    """An operator: its kind, the names of its tensors, and what its options have."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: tuple[tuple[str, Any], ...] = ()


def op(kind: str, ends: str, **options: Any) -> Op:
    """An operator whose ends are written `inputs -> outputs`."""
    inputs, _, outputs = ends.partition("->")
    return Op(kind, tuple(inputs.split()), tuple(outputs.split()), tuple(options.items()))


@dataclass(frozen=True)
class Graph:
    """A graph: its tensors, operators, and the names of its ends."""

    tensors: Sequence[Tensor]
    ops: Sequence[Op]
    inputs: str
    outputs: str


def write(path: Path, *graphs: Graph, signature: dict[str, str] | None = None) -> Path:
    """Write a file of graphs, the main one first; its signature has names for its ends, where there is one."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = schema.ModelT()
    model.version, model.buffers, model.operatorCodes, model.subgraphs = 3, [schema.BufferT()], [], []
    kinds: dict[str, int] = {}
    for graph in graphs:
        made = schema.SubGraphT()
        places = {tensor.name: place for place, tensor in enumerate(graph.tensors)}
        made.tensors = [_tensor(schema, model, tensor) for tensor in graph.tensors]
        made.operators = []
        for each in graph.ops:
            if each.kind not in kinds:
                kinds[each.kind] = len(kinds)
                code = schema.OperatorCodeT()
                code.builtinCode = getattr(schema.BuiltinOperator, each.kind)
                code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), _VERSIONS.get(each.kind, 1)
                model.operatorCodes.append(code)
            found = schema.OperatorT()
            found.opcodeIndex = kinds[each.kind]
            found.inputs = [places.get(name, -1) for name in each.inputs]
            found.outputs = [places[name] for name in each.outputs]
            if each.kind in _OPTIONS:
                name = _OPTIONS[each.kind]
                found.builtinOptionsType = getattr(schema.BuiltinOptions, name)
                found.builtinOptions = getattr(schema, f"{name}T")()
                for key, value in each.options:
                    setattr(found.builtinOptions, key, value)
            made.operators.append(found)
        made.inputs = [places[name] for name in graph.inputs.split()]
        made.outputs = [places[name] for name in graph.outputs.split()]
        model.subgraphs.append(made)
    if signature is not None:
        model.signatureDefs = [_signature(schema, graphs[0], signature)]
    flatbuffer_utils.write_model(model, str(path))
    return path


def _tensor(schema: Any, model: Any, tensor: Tensor) -> Any:
    found = schema.TensorT()
    found.name, found.shape = tensor.name.encode(), list(tensor.shape)
    if tensor.free:
        found.shapeSignature = [-1, *tensor.shape[1:]]
    found.type = getattr(schema.TensorType, np.dtype(tensor.dtype).name.upper())
    if tensor.values is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(tensor.values).tobytes(), np.uint8)
        found.buffer = len(model.buffers)
        model.buffers.append(buffer)
    if tensor.scales:
        found.quantization = schema.QuantizationParametersT()
        found.quantization.scale = list(tensor.scales)
        found.quantization.zeroPoint = list(tensor.zeros or [0] * len(tensor.scales))
        found.quantization.quantizedDimension = tensor.axis
    return found


def _signature(schema: Any, graph: Graph, names: dict[str, str]) -> Any:
    found = schema.SignatureDefT()
    found.signatureKey, found.subgraphIndex = "serving_default", 0
    places = {tensor.name: place for place, tensor in enumerate(graph.tensors)}
    for side in ("inputs", "outputs"):
        ends = []
        for name in getattr(graph, side).split():
            end = schema.TensorMapT()
            end.name, end.tensorIndex = names[name], places[name]
            ends.append(end)
        setattr(found, side, ends)
    return found
