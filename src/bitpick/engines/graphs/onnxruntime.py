"""What ONNX Runtime executes: the graph it optimised for this machine, with the shapes of one run through it."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.engines.graphs.executed import (
    FLOAT32,
    FLOATS,
    INTEGERS,
    Executed,
    Operator,
    activation_grid,
    dynamic_grid,
    weight_grid,
)
from bitpick.fingerprint import Grid
from bitpick.preprocessing import Arrays

if TYPE_CHECKING:
    import onnx

# Where in the inputs of an operator the zero point of the activation is, which is the first, the weight, and its zero
# point. None where it rounds inside.
_INTEGER = {
    "QLinearConv": (2, 3, 5),
    "QLinearMatMul": (2, 3, 5),
    "QGemm": (2, 3, 5),
    "ConvInteger": (2, 1, 3),
    "MatMulInteger": (2, 1, 3),
    "MatMulIntegerToFloat": (4, 1, 5),
    "DynamicQuantizeMatMul": (None, 1, 3),
}
_FLOAT = {"Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"}
_CONVERSIONS = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast"}
_TRANSPOSES = {"Transpose", "ReorderInput", "ReorderOutput"}
# They only move numbers, or write them in another format.
_PLUMBING = _CONVERSIONS | _TRANSPOSES | {
    "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Shape", "Slice", "Gather", "Concat", "Split", "Constant",
    "QLinearConcat",
}  # fmt: skip
_ROUNDS = 4  # the accuracy level at which a product with integer weights rounds its activations to 8 bits
_DTYPES = {"float": "float32", "float16": "float16", "uint8": "u8", "int8": "s8"}


def executed(path: Path, settings: Mapping[str, str], sample: Arrays) -> Executed:
    """Read off what ONNX Runtime executes for a file and a sample, with the settings that the build ships with."""
    import onnx
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        options = session_options(settings)
        options.optimized_model_filepath = f"{folder}/optimized.onnx"
        options.enable_profiling = True
        options.profile_file_prefix = f"{folder}/profile"
        shipped = onnx.load(path)
        unnamed = [node for node in shipped.graph.node if not node.name]
        for number, node in enumerate(unnamed):  # the profile could not be matched
            node.name = f"{node.op_type}_unnamed_{number}"
        file = shipped.SerializeToString() if unnamed else path
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        source = session.get_inputs()[0]
        times = _fixed_batch(source)
        session.run(None, fed(session, tuple(np.repeat(each, times, axis=0) for each in sample)))
        events = json.loads(Path(session.end_profiling()).read_text())
        graph = onnx.load(options.optimized_model_filepath).graph
        sink = session.get_outputs()[0]
    ran = {
        event["name"].removesuffix("_kernel_time"): event["args"]
        for event in events
        if event.get("cat") == "Node" and "output_type_shape" in event["args"]
    }
    first, last = (end.type.removeprefix("tensor(").removesuffix(")") for end in (source, sink))
    reader = _Reader(graph, shipped.graph, ran, _fixed_batch(source))
    operators = [reader.operator(node) for node in graph.node if node.op_type not in _PLUMBING]
    return Executed(
        tuple(operator for operator in operators if operator.arithmetic in INTEGERS | FLOATS),
        _DTYPES.get(first, first),
        _DTYPES.get(last, last),
        conversions=tuple(f"{node.op_type} {node.name}" for node in graph.node if node.op_type in _CONVERSIONS),
        transposes=tuple(f"{node.op_type} {node.name}" for node in graph.node if node.op_type in _TRANSPOSES),
    )


def session_options(settings: Mapping[str, str]) -> Any:
    """The options of a session with the settings that a build ships with, quiet but for what is fatal."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    for name, value in settings.items():
        options.add_session_config_entry(name, value)
    return options


def fed(session: Any, batch: Arrays) -> dict[str, NDArray[Any]]:
    """A batch by the names of a session's inputs."""
    return {source.name: array for source, array in zip(session.get_inputs(), batch, strict=True)}


def constants(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Each stored tensor of a file, by its name."""
    import onnx

    for tensor in onnx.load(path).graph.initializer:
        yield tensor.name, onnx.numpy_helper.to_array(tensor)


def _fixed_batch(source: Any) -> int:
    """The batch size that a graph insists on, or 1."""
    return source.shape[0] if source.shape and isinstance(source.shape[0], int) else 1


class _Reader:
    def __init__(self, graph: onnx.GraphProto, shipped: onnx.GraphProto, ran: dict[str, Any], batch: int) -> None:
        import onnx

        self._batch = batch
        self._shipped = {node.name: node for node in shipped.node}
        self._shipped_made = {name: node for node in shipped.node for name in node.output}
        self._shipped_shapes = {i.name: tuple(i.dims) for i in shipped.initializer}

        self._values = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
        self._made = {name: node for node in graph.node for name in node.output}
        self._ran = ran

    def operator(self, node: onnx.NodeProto) -> Operator:
        """What one node computes, and on what."""
        if node.op_type in _INTEGER:
            return self._integer(node)
        arithmetic = self._dtype_of_run(node)
        name = self._layer(node)
        if node.op_type not in _FLOAT | {"MatMulNBits"}:  # a first input may be a condition, or a scale
            return Operator(name, node.op_type, self._dtype_of_run(node, "output_type_shape"))
        if node.op_type == "MatMulNBits":
            return self._blocks(node, arithmetic)
        stored, grid = self._kept_weight(node.input[1])
        if stored is None:
            return Operator(name, node.op_type, arithmetic)
        shape = stored.shape
        if node.domain == "com.microsoft.nchwc":
            name, shape = self._before_blocking(name, shape)
        return Operator(
            name,
            node.op_type,
            arithmetic,
            weight=grid,
            activation=Grid(dtype=arithmetic),
            weights=int(np.prod(shape)),
            macs=self._macs(node, shape, stored.shape),
        )

    def _before_blocking(self, name: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """The name and the weight's shape that a convolution had before its channels were filled up to whole blocks.

        It has the name of the last node fused into it. Where the optimiser made up a name, what is stored counts.
        """
        origin = self._shipped.get(name) or self._shipped_made.get(name)
        while origin is not None and origin.op_type not in _FLOAT:
            origin = self._shipped_made.get(origin.input[0]) if origin.input else None
        if origin is None:
            return name, shape
        return origin.name, self._shipped_shapes.get(origin.input[1], shape)

    def _integer(self, node: onnx.NodeProto) -> Operator:
        zero_at, weight_at, weight_zero_at = _INTEGER[node.op_type]
        weight = self._values.get(node.input[weight_at])
        zeros = self._optional(node, weight_zero_at)
        dynamic = not node.op_type.startswith("Q")
        dtype = self._dtype_of_run(node)
        if dynamic:
            dtype = "u8" if dtype == "float32" else dtype  # rounded inside the operator
            activation = dynamic_grid(dtype)
        else:
            zero = self._optional(node, zero_at)
            activation = activation_grid(dtype, 0 if zero is None else int(zero.ravel()[0]))
        grid, size, macs = None, 0, 0
        if weight is not None:
            kept = "s8" if weight.dtype == np.int8 else "u8"
            scales = self._optional(node, weight_zero_at - 1) if node.op_type[0] == "Q" else zeros
            grid = weight_grid(weight, 0 if zeros is None else zeros, 1 if scales is None else scales.size, kept)
            size, macs = int(weight.size), self._macs(node, weight.shape, weight.shape)
        return Operator(self._layer(node), node.op_type, dtype, grid, activation, size, macs)

    def _blocks(self, node: onnx.NodeProto, arithmetic: str) -> Operator:
        """A product with integer weights, turned to floats as it computes, or multiplied with rounded activations."""
        attributes = {a.name: a.i for a in node.attribute}
        size = attributes["K"] * attributes["N"]
        # They are kept unsigned around 128, which is the signed grid around 0.
        grid = Grid(dtype=f"s{attributes['bits']}", granularity="per_channel", symmetric=True, bits=attributes["bits"])
        activation = Grid(dtype=arithmetic)
        if attributes.get("accuracy_level") == _ROUNDS:
            arithmetic = "s8"
            activation = dynamic_grid("s8")
        ran = self._ran.get(node.name)
        rows = int(np.prod(next(iter(ran["output_type_shape"][0].values())))) // attributes["N"] if ran else 0
        macs = size * rows // self._batch
        return Operator(self._layer(node), node.op_type, arithmetic, grid, activation, size, macs)

    def _optional(self, node: onnx.NodeProto, place: int | None) -> Any:
        """The stored value of an input; None where the node has no such input, or computes it."""
        if place is None or place >= len(node.input):
            return None
        return self._values.get(node.input[place])

    def _kept_weight(self, name: str) -> tuple[Any, Grid]:
        """The stored weight behind a float operator's input, and the grid in which it is kept."""
        if name in self._values:
            value = self._values[name]
            return value, FLOAT32 if value.dtype == np.float32 else Grid(dtype=str(value.dtype))
        maker = self._made.get(name)
        if maker is not None and maker.op_type in ("DequantizeLinear", "Cast") and maker.input[0] in self._values:
            value = self._values[maker.input[0]]
            if value.dtype not in (np.int8, np.uint8):
                return value, Grid(dtype=str(value.dtype))
            zeros, scales = self._optional(maker, 2), self._optional(maker, 1)
            kept = "s8" if value.dtype == np.int8 else "u8"
            return value, weight_grid(value, 0 if zeros is None else zeros, scales.size, kept)
        return None, FLOAT32

    def _dtype_of_run(self, node: onnx.NodeProto, side: str = "input_type_shape") -> str:
        """The dtype of the first numbers that went into a node, or came out, when it ran."""
        ran = self._ran.get(node.name)
        first = next(iter(ran[side][0]), "float") if ran and ran[side] else "float"
        return _DTYPES.get(first, first)

    def _macs(self, node: onnx.NodeProto, weight: tuple[int, ...], stored: tuple[int, ...]) -> int:
        """Weights · positions for one sample; 0 where the runtime did not tell the shape.

        Positions are those of the output, and of a transposed convolution's input.

        Args:
            node: the operator.
            weight: shape of its weight.
            stored: the same, as the runtime stores it: output channels may be filled up, there and in the output.
        """
        ran = self._ran.get(node.name)
        transposed = "ConvTranspose" in node.op_type
        side = "input_type_shape" if transposed else "output_type_shape"
        shape = next(iter(ran[side][0].values())) if ran else None
        if not shape:
            return 0
        channels = shape[1] if transposed else stored[0] if "Conv" in node.op_type else shape[-1]
        return int(np.prod(weight) * (np.prod(shape) // (channels * self._batch)))

    def _layer(self, node: onnx.NodeProto) -> str:
        """The name of a node without what the optimiser put at its end."""
        return re.sub(r"_token_\d+$", "", node.name).removesuffix("_nchwc")
