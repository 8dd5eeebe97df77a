"""Multiply-accumulates of LiteRT files and how many of them run on integers, by the schema of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.zoo.oracle.count import Counted

_WEIGHT_AT = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "TRANSPOSE_CONV": 1, "BATCH_MATMUL": 1}
_RECURRENT = ("UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "LSTM", "SVDF")


def counted(file: Path) -> Counted:
    """Count the first graph of a file; recurrent operators and other graphs are named, not counted."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(file.read_bytes()), 0))
    kinds = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    types = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    codes = [kinds[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
    macs = integer = 0
    for operator in model.subgraphs[0].operators:
        kind, tensors = codes[operator.opcodeIndex], model.subgraphs[0].tensors
        if kind not in _WEIGHT_AT:
            continue
        weight = tensors[operator.inputs[_WEIGHT_AT[kind]]]
        if not _stored(model, weight):
            continue
        # The numbers that are multiplied with the weight; a transposed convolution has its output's shape first.
        given = tensors[operator.inputs[2 if kind == "TRANSPOSE_CONV" else 0]]
        each = _macs(kind, weight, given, tensors[operator.outputs[0]])
        macs += each
        integer += each if types[given.type] in ("INT8", "UINT8", "INT16") else 0
    others = [codes[o.opcodeIndex] for graph in model.subgraphs[1:] for o in graph.operators]
    names = (*(code for code in codes if code in _RECURRENT), *(kind for kind in others if kind in _WEIGHT_AT))
    return Counted(macs, integer, names)


def _stored(model: Any, tensor: Any) -> bool:
    """Whether a tensor has its numbers in the file."""
    buffer = model.buffers[tensor.buffer]
    return (buffer.data is not None and len(buffer.data) > 0) or buffer.size > 0


def _macs(kind: str, weight: Any, given: Any, output: Any) -> int:
    shape, size = [int(each) for each in weight.shape], int(np.prod(output.shape))
    if kind == "CONV_2D":  # (outputs, height, width, inputs)
        return size * int(np.prod(shape[1:]))
    if kind == "DEPTHWISE_CONV_2D":  # (1, height, width, outputs)
        return size * shape[1] * shape[2]
    if kind == "TRANSPOSE_CONV":  # (outputs, height, width, inputs)
        return int(np.prod(given.shape)) * int(np.prod(shape[:3]))
    return size * shape[-1] if kind == "FULLY_CONNECTED" else size * int(given.shape[-1])
