"""LiteRT files as quantizers take them: with a signature, and with float32 weights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

SIGNATURE = "serving_default"


@contextmanager
def prepared(path: Path) -> Iterator[Path]:
    """A float file itself, or a copy of it that has a signature and float32 weights.

    Without a signature the quantizer cannot calibrate. Weights in float16 stand behind a DEQUANTIZE, where it does not
    see that they are weights; widened they are the same numbers.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    signed = _sign(model)
    widened = [_widen_weights(graph, model) for graph in model.subgraphs]
    if not (signed or any(widened)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="bitpick-") as folder:
        copy = Path(folder) / path.name
        flatbuffer_utils.write_model(model, str(copy))
        yield copy


def has_half_weights(path: Path) -> bool:
    """Whether a file has weights in float16, behind a DEQUANTIZE."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    return any(_half_weights(graph, model) for graph in model.subgraphs)


def _sign(model: Any) -> bool:
    """Give a model one whose names have the numbers of its inputs and outputs, if it has none; whether it had none."""
    from ai_edge_litert import schema_py_generated as schema

    if model.signatureDefs:
        return False

    def named(kind: str, tensors: Any) -> list[Any]:
        found = []
        for number, index in enumerate(tensors):
            end = schema.TensorMapT()
            end.name, end.tensorIndex = f"{kind}_{number}", int(index)
            found.append(end)
        return found

    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
    signature.inputs = named("input", model.subgraphs[0].inputs)
    signature.outputs = named("output", model.subgraphs[0].outputs)
    model.signatureDefs = [signature]
    return True


def _half_weights(graph: Any, model: Any) -> list[Any]:
    """The operators that do nothing but widen stored float16 numbers."""
    from ai_edge_litert import schema_py_generated as schema

    def widens(operator: Any) -> bool:
        code = model.operatorCodes[operator.opcodeIndex]
        if max(code.builtinCode, code.deprecatedBuiltinCode) != schema.BuiltinOperator.DEQUANTIZE:
            return False
        source = graph.tensors[operator.inputs[0]]
        return source.type == schema.TensorType.FLOAT16 and model.buffers[source.buffer].data is not None

    return [operator for operator in graph.operators or () if widens(operator)]


def _widen_weights(graph: Any, model: Any) -> bool:
    """Store these numbers as float32 instead; whether there were any."""
    from ai_edge_litert import schema_py_generated as schema

    found = _half_weights(graph, model)
    narrow = set()
    for operator in found:
        source, target = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
        values = np.frombuffer(bytes(model.buffers[source.buffer].data), np.float16).astype(np.float32)
        stored = schema.BufferT()
        stored.data = np.frombuffer(values.tobytes(), np.uint8)
        model.buffers.append(stored)
        target.buffer = len(model.buffers) - 1
        narrow.add(int(operator.inputs[0]))
    gone = {id(operator) for operator in found}
    graph.operators = [operator for operator in graph.operators or () if id(operator) not in gone]
    left = {int(index) for operator in graph.operators for index in operator.inputs}
    _drop_tensors(graph, model, narrow - left)
    return bool(found)


def _drop_tensors(graph: Any, model: Any, gone: set[int]) -> None:
    """Take tensors that nothing reads out of a graph, and their numbers out of the model's buffers."""
    kept = [index for index in range(len(graph.tensors)) if index not in gone]
    place = {old: new for new, old in enumerate(kept)} | {-1: -1}  # an optional input that is not there
    for index in gone:
        model.buffers[graph.tensors[index].buffer].data = None
    graph.tensors = [graph.tensors[index] for index in kept]
    for each in (graph, *graph.operators):
        each.inputs = [place[int(index)] for index in each.inputs]
        each.outputs = [place[int(index)] for index in each.outputs]
    for operator in graph.operators:
        if operator.intermediates is not None:
            operator.intermediates = [place[int(index)] for index in operator.intermediates]
    for signature in model.signatureDefs or ():
        if model.subgraphs[signature.subgraphIndex] is graph:
            for end in (*signature.inputs, *signature.outputs):
                end.tensorIndex = place[end.tensorIndex]
