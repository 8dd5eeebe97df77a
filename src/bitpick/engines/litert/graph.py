"""The graph that LiteRT executes: operators and tensors of an interpreter that is ready to run."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
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
        output: the name of its output tensor, which joins the names of all layers fused into it.
        weight: the name of its stored weight; empty if it has none.
        number: the index of that tensor; -1 if it has none.
    """

    kind: str
    output: str
    weight: str
    number: int = -1

    @property
    def parts(self) -> list[str]:
        """The names by which a recipe can refer to it; operators may share some of them."""
        return self.output.split(";")


def names(path: Path) -> list[str]:
    """Return the names that a recipe can exclude."""
    return list(dict.fromkeys(part for layer in _layers(path) for part in layer.parts))


def layers(path: Path) -> dict[str, Layer]:
    """Return the operators of a float file that can be quantized, each by a name that no other operator has."""
    operators = _layers(path)
    counts = Counter(part for layer in operators for part in set(layer.parts))
    by_name = {}
    for layer in operators:
        unique = [part for part in layer.parts if counts[part] == 1 and not re.fullmatch(r"\d*", part)]
        # Prefer the name closest to the weight's; without a weight, take the last name.
        if unique:
            common_prefixes = {part: len(os.path.commonprefix((part, layer.weight))) for part in reversed(unique)}  # noqa: RUF071 - characters
            by_name[max(common_prefixes, key=common_prefixes.__getitem__)] = layer
    return by_name


def _layers(path: Path) -> list[Layer]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    tensors = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()  # noqa: SLF001 - no public API lists the operators
    computed = {int(i) for op in operators for i in op["outputs"]}
    layers = []
    for op in operators:
        if op["op_name"] not in PLUMBING:
            weight = int(op["inputs"][1]) if op["op_name"] in _WEIGHTED else -1
            weight = -1 if weight in computed else weight
            stored = tensors.get(weight, "")
            layers.append(Layer(op["op_name"], tensors[int(op["outputs"][0])], stored, weight if stored else -1))
    return layers


def weighted(path: Path) -> list[Layer]:
    """Return the operators of a float file that have stored weights."""
    return [layer for layer in _layers(path) if layer.weight]


def stored(path: Path) -> Iterator[tuple[list[str], NDArray[Any]]]:
    """Yield the names of each operator with stored weights, that in `layers` first, and its weights."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    own = {layer.output: name for name, layer in layers(path).items()}
    for layer in weighted(path):
        names = [own[layer.output], *layer.parts] if layer.output in own else layer.parts
        yield list(dict.fromkeys(names)), interpreter.get_tensor(layer.number)


def native(source: Any, batch: NDArray[Any]) -> NDArray[Any]:
    """Convert a batch of shape (n, …) to an input's dtype, quantized if the input has a scale and a zero point."""
    scale, zero_point = source["quantization"]
    if not np.issubdtype(source["dtype"], np.integer) or not scale:
        return batch.astype(source["dtype"], copy=False)
    limits = np.iinfo(source["dtype"])
    quantized = np.round(batch / np.float32(scale)) + zero_point
    clipped: NDArray[Any] = np.clip(quantized, limits.min, limits.max).astype(source["dtype"])
    return clipped


def executed(interpreter: Any, path: Path) -> Executed:
    """Return what an interpreter executes, once it has run one sample: only then are all shapes known.

    Args:
        interpreter: a LiteRT interpreter.
        path: the file that it opened.
    """
    sources, sinks = interpreter.get_input_details(), interpreter.get_output_details()
    shape = sources[0]["shape"]
    reader = Nodes(interpreter, File(path), int(shape[0]) if len(shape) else 1)
    return Executed(
        tuple(o for o in reader.operators() if o.arithmetic in INTEGERS | FLOATS or o.weights),
        # Of several inputs, the first that holds data; others hold indices.
        input=dtype(next((each for each in sources if dtype(each) in INTEGERS | FLOATS), sources[0])),
        output=dtype(sinks[0]),
        conversions=tuple(text for kind, text in reader.moves if kind in CONVERSIONS),
        transposes=tuple(text for kind, text in reader.moves if kind == "TRANSPOSE"),
    )
