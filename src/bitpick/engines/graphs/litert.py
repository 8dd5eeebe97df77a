"""What LiteRT executes: the operators and tensors of an interpreter that is ready to run."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.engines.graphs.executed import (
    FLOATS,
    INTEGERS,
    Executed,
    Operator,
    activation_grid,
    dynamic_grid,
    weight_grid,
)
from bitpick.fingerprint import Grid

_WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL", "CONV_3D"}
_CONVERSIONS = {"QUANTIZE", "DEQUANTIZE", "CAST"}
# They only move numbers, or write them in another format; a delegate takes over operators that are listed as well.
_PLUMBING = _CONVERSIONS | {
    "SHAPE", "STRIDED_SLICE", "SLICE", "PACK", "UNPACK", "RESHAPE", "TRANSPOSE",
    "SQUEEZE", "EXPAND_DIMS", "CONCATENATION", "SPLIT", "GATHER", "DELEGATE",
}  # fmt: skip
_DTYPES = {"int8": "s8", "uint8": "u8"}


@dataclass(frozen=True)
class Layer:
    """An operator of a file that can be quantized.

    Attributes:
        kind: its type.
        output: the name of what it computes, which has those of all layers fused into it.
        weight: the name of its weight; empty where it has none.
    """

    kind: str
    output: str
    weight: str

    @property
    def parts(self) -> list[str]:
        """The names that a recipe can call it by, perhaps along with others."""
        return self.output.split(";")


def names(path: Path) -> list[str]:
    """The names that a recipe can exclude."""
    return list(dict.fromkeys(part for layer in _layers(path) for part in layer.parts))


def layers(path: Path) -> dict[str, Layer]:
    """The operators of a float file that can be quantized, by a name that no other has among its own."""
    found = _layers(path)
    times = Counter(part for layer in found for part in set(layer.parts))
    named = {}
    for layer in found:
        own = [part for part in layer.parts if times[part] == 1 and not re.fullmatch(r"\d*", part)]
        # The weight's name says best which layer it is; an operation without one comes last.
        if own:
            shared = {part: len(os.path.commonprefix((part, layer.weight))) for part in reversed(own)}  # noqa: RUF071 - characters
            named[max(shared, key=shared.__getitem__)] = layer
    return named


def _layers(path: Path) -> list[Layer]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    tensors = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()  # noqa: SLF001 - nothing public tells the operators
    made = {int(i) for op in operators for i in op["outputs"]}
    found = []
    for op in operators:
        if op["op_name"] not in _PLUMBING:
            weight = int(op["inputs"][1]) if op["op_name"] in _WEIGHTED else -1
            stored = "" if weight in made else tensors.get(weight, "")
            found.append(Layer(op["op_name"], tensors[int(op["outputs"][0])], stored))
    return found


def native(source: Any, batch: NDArray[Any]) -> NDArray[Any]:
    """A batch of shape (n, …) in the dtype of an input, of which an integer one may have a scale and a zero point."""
    scale, zero_point = source["quantization"]
    if not np.issubdtype(source["dtype"], np.integer) or not scale:
        return batch.astype(source["dtype"], copy=False)
    limits = np.iinfo(source["dtype"])
    quantized = np.round(batch / np.float32(scale)) + zero_point
    clipped: NDArray[Any] = np.clip(quantized, limits.min, limits.max).astype(source["dtype"])
    return clipped


def executed(interpreter: Any) -> Executed:
    """Read off what an interpreter executes, after it has run one sample: only then are all sizes known."""
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()  # noqa: SLF001 - nothing public tells the operators
    sources, sinks = interpreter.get_input_details(), interpreter.get_output_details()
    graph = _Graph(
        interpreter,
        tensors,
        dequantized={int(op["outputs"][0]): int(op["inputs"][0]) for op in operators if op["op_name"] == "DEQUANTIZE"},
        computed={int(i) for op in operators for i in op["outputs"]} | {end["index"] for end in (*sources, *sinks)},
    )
    found = [graph.operator(op, number) for number, op in enumerate(operators) if op["op_name"] not in _PLUMBING]
    moves = [(op["op_name"], f"{op['op_name']} {tensors[int(op['outputs'][0])]['name']}") for op in operators]
    return Executed(
        tuple(o for o in found if o.arithmetic in INTEGERS | FLOATS),
        # Of several inputs one of numbers; others are indices.
        input=_dtype(next((each for each in sources if _dtype(each) in INTEGERS | FLOATS), sources[0])),
        output=_dtype(sinks[0]),
        conversions=tuple(text for kind, text in moves if kind in _CONVERSIONS),
        transposes=tuple(text for kind, text in moves if kind == "TRANSPOSE"),
    )


@dataclass(frozen=True)
class _Graph:
    """What to look things up in: tensors by index, what a DEQUANTIZE takes by what it gives, what is no constant."""

    interpreter: Any
    tensors: dict[int, Any]
    dequantized: dict[int, int]
    computed: set[int]

    def operator(self, op: Any, number: int) -> Operator:
        kind, inputs = op["op_name"], [int(place) for place in op["inputs"]]
        if kind == "TRANSPOSE_CONV":  # the output's shape, the weight, the data
            inputs = [inputs[2], inputs[1]]
        data, output = self.tensors[inputs[0]], self.tensors[int(op["outputs"][0])]
        arithmetic = _dtype(data)
        layers = _parts(output)
        name = layers[-1] if layers else f"{kind.lower()}_{number}"
        # A weight kept as integers or in half precision passes a DEQUANTIZE where its operator computes in float.
        kept = self.dequantized.get(inputs[1], inputs[1]) if kind in _WEIGHTED else None
        if kept is None or kept in self.computed:
            return Operator(name, kind, arithmetic, layers=tuple(layers))
        weight = self._weight(self.tensors[kept])
        name = (_parts(self.tensors[kept]) or [name])[-1]
        if arithmetic in INTEGERS:
            activation = activation_grid(arithmetic, int(data["quantization_parameters"]["zero_points"][0]))
        elif weight.dtype in INTEGERS and inputs[1] not in self.dequantized:
            # Float numbers with integer weights: the kernel rounds each batch's activations to integers as it runs.
            activation = dynamic_grid("s8")
            arithmetic = "s8"
        else:
            activation = Grid(dtype=arithmetic)
        size = int(np.prod(self.tensors[kept]["shape"]))
        positions = int(np.prod((data if kind == "TRANSPOSE_CONV" else output)["shape"][:-1]))
        return Operator(name, kind, arithmetic, weight, activation, size, size * positions, tuple(layers))

    def _weight(self, tensor: Any) -> Grid:
        dtype = _dtype(tensor)
        if dtype not in INTEGERS:
            return Grid(dtype=dtype)
        quantization = tensor["quantization_parameters"]
        values = self.interpreter.get_tensor(tensor["index"])
        return weight_grid(values, quantization["zero_points"], len(quantization["scales"]), dtype)


def _parts(tensor: Any) -> list[str]:
    """The names in a tensor's name, which has those of all layers fused into it; what is just a number is none."""
    return [part for part in tensor["name"].split(";") if not re.fullmatch(r"\d*", part)]


def _dtype(tensor: Any) -> str:
    name: str = tensor["dtype"].__name__
    return _DTYPES.get(name, name)
