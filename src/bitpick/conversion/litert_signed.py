"""Prepare LiteRT files for quantizers: add a signature, and widen float16 weights."""

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
    """Yield a float file, or a copy of it that has a signature and float32 weights.

    Without a signature the quantizer cannot calibrate. Float16 weights go through a DEQUANTIZE, so the quantizer does
    not recognise them as weights; widening does not change their values.
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
    """Return whether a file has float16 weights that go through a DEQUANTIZE."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    return any(_half_weights(graph, model) for graph in model.subgraphs)


def _sign(model: Any) -> bool:
    """Add a signature with numbered inputs and outputs to a model without one; return whether it was added."""
    from ai_edge_litert import schema_py_generated as schema

    if model.signatureDefs:
        return False

    def numbered(kind: str, tensors: Any) -> list[Any]:
        entries = []
        for number, index in enumerate(tensors):
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = f"{kind}_{number}", int(index)
            entries.append(entry)
        return entries

    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
    signature.inputs = numbered("input", model.subgraphs[0].inputs)
    signature.outputs = numbered("output", model.subgraphs[0].outputs)
    model.signatureDefs = [signature]
    return True


def _half_weights(graph: Any, model: Any) -> list[Any]:
    """Return the operators that only widen stored float16 weights."""
    from ai_edge_litert import schema_py_generated as schema

    def widens(operator: Any) -> bool:
        code = model.operatorCodes[operator.opcodeIndex]
        if max(code.builtinCode, code.deprecatedBuiltinCode) != schema.BuiltinOperator.DEQUANTIZE:
            return False
        source = graph.tensors[operator.inputs[0]]
        return source.type == schema.TensorType.FLOAT16 and model.buffers[source.buffer].data is not None

    return [operator for operator in graph.operators or () if widens(operator)]


def _widen_weights(graph: Any, model: Any) -> bool:
    """Store float16 weights as float32 instead; return whether there were any."""
    from ai_edge_litert import schema_py_generated as schema

    widening = _half_weights(graph, model)
    sources = set()
    for operator in widening:
        source, target = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
        values = np.frombuffer(bytes(model.buffers[source.buffer].data), np.float16).astype(np.float32)
        stored = schema.BufferT()
        stored.data = np.frombuffer(values.tobytes(), np.uint8)
        model.buffers.append(stored)
        target.buffer = len(model.buffers) - 1
        sources.add(int(operator.inputs[0]))
    removed = {id(operator) for operator in widening}
    graph.operators = [operator for operator in graph.operators or () if id(operator) not in removed]
    read = {int(index) for operator in graph.operators for index in operator.inputs}
    _drop_tensors(graph, model, sources - read)
    return bool(widening)


def _drop_tensors(graph: Any, model: Any, removed: set[int]) -> None:
    """Remove unread tensors from a graph, and their data from the model's buffers."""
    kept = [index for index in range(len(graph.tensors)) if index not in removed]
    new_index = {old: new for new, old in enumerate(kept)} | {-1: -1}  # -1 is an omitted optional input
    for index in removed:
        model.buffers[graph.tensors[index].buffer].data = None
    graph.tensors = [graph.tensors[index] for index in kept]
    for part in (graph, *graph.operators):
        part.inputs = [new_index[int(index)] for index in part.inputs]
        part.outputs = [new_index[int(index)] for index in part.outputs]
    for operator in graph.operators:
        if operator.intermediates is not None:
            operator.intermediates = [new_index[int(index)] for index in operator.intermediates]
    for signature in model.signatureDefs or ():
        if model.subgraphs[signature.subgraphIndex] is graph:
            for entry in (*signature.inputs, *signature.outputs):
                entry.tensorIndex = new_index[entry.tensorIndex]
