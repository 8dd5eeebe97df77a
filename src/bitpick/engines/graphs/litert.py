"""What LiteRT executes: the operators and tensors of an interpreter that is ready to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bitpick.engines.graphs.executed import Executed, Operator, activation_grid, weight_grid
from bitpick.fingerprint import Grid

_WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL", "CONV_3D"}
# They only move numbers, or write them in another format; a delegate takes over operators that are listed as well.
_PLUMBING = {
    "QUANTIZE", "DEQUANTIZE", "CAST", "SHAPE", "STRIDED_SLICE", "SLICE", "PACK", "UNPACK", "RESHAPE", "TRANSPOSE",
    "SQUEEZE", "EXPAND_DIMS", "CONCATENATION", "SPLIT", "GATHER", "DELEGATE",
}  # fmt: skip
_DTYPES = {"int8": "s8", "uint8": "u8"}


def layers(path: Path) -> list[str]:
    """The names of the operators of a file that can be quantized: of what they compute."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    names = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()  # noqa: SLF001 - nothing public tells the operators
    computed = [names[int(op["outputs"][0])] for op in operators if op["op_name"] not in _PLUMBING]
    return list(dict.fromkeys(part for name in computed for part in name.split(";")))


def executed(interpreter: Any) -> Executed:
    """Read off what an interpreter executes, its tensors allocated for one sample."""
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()  # noqa: SLF001 - nothing public tells the operators
    dequantized = {op["outputs"][0]: op["inputs"][0] for op in operators if op["op_name"] == "DEQUANTIZE"}
    return Executed(
        tuple(_operator(interpreter, op, tensors, dequantized) for op in operators if op["op_name"] not in _PLUMBING),
        _dtype(interpreter.get_input_details()[0]),
        _dtype(interpreter.get_output_details()[0]),
    )


def _operator(interpreter: Any, op: Any, tensors: dict[int, Any], dequantized: dict[int, int]) -> Operator:
    kind, (data, *others) = op["op_name"], (int(place) for place in op["inputs"])
    output = tensors[int(op["outputs"][0])]
    arithmetic = _dtype(tensors[data])
    name, *layers = reversed(output["name"].split(";"))
    if kind == "TRANSPOSE_CONV":  # its inputs are the output's shape, the weight, the data
        data, others = others[1], [others[0]]
    if kind not in _WEIGHTED:
        return Operator(name, kind, arithmetic, layers=tuple(layers))
    # A weight kept as integers or in half precision passes a DEQUANTIZE where its operator computes in float.
    kept = tensors[dequantized.get(others[0], others[0])]
    dtype = _dtype(kept)
    quantization = kept["quantization_parameters"]
    if dtype in ("s8", "u8"):
        values = interpreter.get_tensor(kept["index"])
        weight = weight_grid(values, quantization["zero_points"], len(quantization["scales"]), dtype)
    else:
        weight = Grid(dtype=dtype)
    if arithmetic in ("s8", "u8"):
        activation = activation_grid(arithmetic, int(tensors[data]["quantization_parameters"]["zero_points"][0]))
    elif dtype in ("s8", "u8") and others[0] not in dequantized:
        # Float numbers with integer weights: the kernel rounds each batch's activations to integers as it runs.
        activation = Grid(dtype="s8", granularity="per_tensor", bits=8, dynamic=True)
        arithmetic = "s8"
    else:
        activation = Grid(dtype=arithmetic)
    size = int(np.prod(kept["shape"]))
    positions = int(np.prod((tensors[data] if kind == "TRANSPOSE_CONV" else output)["shape"][:-1]))
    names = (name, *layers)
    return Operator(kept["name"].split(";")[-1], kind, arithmetic, weight, activation, size, size * positions, names)


def _dtype(tensor: Any) -> str:
    name: str = tensor["dtype"].__name__
    return _DTYPES.get(name, name)
