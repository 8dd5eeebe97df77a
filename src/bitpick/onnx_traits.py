"""What an ONNX file says of itself that decides how it is used: nothing of it is run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_QUANTIZED = re.compile(r"(Dynamic)?Quantize.*|Dequantize.*|Q(Linear|Gemm|Attention).*|.*Integer(ToFloat)?")


@dataclass(frozen=True)
class Traits:
    """What an ONNX file says of itself.

    Attributes:
        quantized: names of the nodes that say it was quantized; none for a float model.
        half: whether it has weights, inputs or outputs in float16.
        batched: whether its inputs have a batch axis.
    """

    quantized: tuple[str, ...] = ()
    half: bool = False
    batched: bool = True


def traits(path: Path) -> Traits:
    """Read them off a file; a file that cannot be parsed has none, and whoever opens it will say what is wrong."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return of_model(onnx.load(path, load_external_data=False))
    except DecodeError:
        return Traits()


def of_model(model: onnx.ModelProto) -> Traits:
    """Read them off a model."""
    from onnx import TensorProto

    graph = model.graph
    quantized = tuple(n.name or n.op_type for n in graph.node if _QUANTIZED.fullmatch(n.op_type))
    stored = {initializer.name for initializer in graph.initializer}
    inputs = [v.type.tensor_type for v in graph.input if v.name not in stored]
    outputs = [v.type.tensor_type for v in graph.output]
    half = any(end.elem_type == TensorProto.FLOAT16 for end in (*inputs, *outputs)) or any(
        i.data_type == TensorProto.FLOAT16 for i in graph.initializer
    )
    return Traits(quantized, half, _batched(list(_shapes(inputs)), list(_shapes(outputs))))


def _shapes(ends: list[onnx.TypeProto.Tensor]) -> Iterator[list[int | None]]:
    for end in ends:
        if end.HasField("shape"):
            yield [d.dim_value if d.HasField("dim_value") else None for d in end.shape.dim]


def _batched(inputs: list[list[int | None]], outputs: list[list[int | None]]) -> bool:
    """Whether the first axis of every input is that of a batch.

    A free axis is. A fixed one is where all inputs and outputs have the same size there, and an axis behind it.
    """
    if not inputs:
        return True
    first = [shape[0] if shape else 0 for shape in (*inputs, *outputs)]
    if any(size is None for size in first[: len(inputs)]):
        return True
    sizes = {size for size in first if size is not None}
    return sizes == {1} or (len(sizes) == 1 and all(len(shape) > 1 for shape in inputs) and 0 not in sizes)
