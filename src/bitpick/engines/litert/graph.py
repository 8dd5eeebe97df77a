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

from bitpick.engines.executed import FLOATS, INTEGERS, Executed
from bitpick.engines.litert.file import File
from bitpick.engines.litert.nodes import CONVERSIONS, PLUMBING, Nodes, dtype

_WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL", "CONV_3D"}


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
        if op["op_name"] not in PLUMBING:
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


def executed(interpreter: Any, path: Path) -> Executed:
    """Read off what an interpreter executes, after it has run one sample: only then are all sizes known.

    Args:
        interpreter: a LiteRT interpreter.
        path: its file.
    """
    sources, sinks = interpreter.get_input_details(), interpreter.get_output_details()
    shape = sources[0]["shape"]
    reader = Nodes(interpreter, File(path), int(shape[0]) if len(shape) else 1)
    return Executed(
        tuple(o for o in reader.operators() if o.arithmetic in INTEGERS | FLOATS or o.weights),
        # Of several inputs one of numbers; others are indices.
        input=dtype(next((each for each in sources if dtype(each) in INTEGERS | FLOATS), sources[0])),
        output=dtype(sinks[0]),
        conversions=tuple(text for kind, text in reader.moves if kind in CONVERSIONS),
        transposes=tuple(text for kind, text in reader.moves if kind == "TRANSPOSE"),
    )
