"""The tensors inside an ONNX Runtime build: its own graph, run as it ships, with additional outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.engines.engine import Build
from bitpick.engines.insides import Insides, Pair
from bitpick.engines.onnxruntime.graph import feeds, session_options
from bitpick.preprocessing import Arrays

if TYPE_CHECKING:
    import onnx

_ACTIVATIONS = {"Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh"}  # the quantizer or the runtime fuses them
_WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


@dataclass(frozen=True)
class _Graph:
    """A graph with lookup tables.

    Attributes:
        model: the model that holds the graph.
        values: the stored tensors by name.
        producers: the node that computes each tensor.
        users: the nodes that read each tensor.
    """

    model: onnx.ModelProto
    values: Mapping[str, NDArray[Any]]
    producers: Mapping[str, onnx.NodeProto]
    users: Mapping[str, Sequence[onnx.NodeProto]]

    @staticmethod
    def read(build: Build) -> _Graph:
        import onnx

        model = onnx.load(build.main)
        users: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                users.setdefault(name, []).append(node)
        return _Graph(
            model,
            {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer},
            {name: node for node in model.graph.node for name in node.output},
            users,
        )

    def end(self, node: onnx.NodeProto) -> str:
        """Return the name of a node's output, taken after an activation function if that is its only reader."""
        users = self.users.get(node.output[0], [])
        fused = len(users) == 1 and users[0].op_type in _ACTIVATIONS
        return str((users[0] if fused else node).output[0])

    def dequantized(self, name: str) -> tuple[str, Callable[[NDArray[Any]], NDArray[np.float32]]] | None:
        """Return the quantized graph's counterpart of a float tensor, and a function that dequantizes it."""
        for user in self.users.get(name, ()):
            if user.op_type == "QuantizeLinear":
                for next_user in self.users.get(user.output[0], ()):
                    if next_user.op_type == "DequantizeLinear":
                        return next_user.output[0], _as_float32
        if name in self.producers:
            return name, _as_float32
        if (integers := f"{name}_quantized") not in self.producers or f"{name}_scale" not in self.values:
            return None
        scale, zero = self.values[f"{name}_scale"], self.values[f"{name}_zero_point"]
        return integers, lambda stored: (stored.astype(np.float32) - zero.astype(np.float32)) * scale

    def weight(self, name: str) -> NDArray[np.float32] | None:
        """Return a weight as the quantized graph stores it, dequantized; every quantized form uses the same names."""
        integers, scale = self.values.get(f"{name}_quantized"), self.values.get(f"{name}_scale")
        if integers is None or scale is None:
            return self.values.get(name)
        zeros = self.values.get(f"{name}_zero_point", np.zeros(1, integers.dtype))
        shape = [1] * integers.ndim
        if scale.size > 1:
            shape[self._axis(f"{name}_quantized")] = scale.size
        shift = zeros.astype(np.float32).reshape(shape if zeros.size > 1 else ())
        restored: NDArray[np.float32] = (integers.astype(np.float32) - shift) * scale.reshape(shape)
        return restored

    def _axis(self, name: str) -> int:
        """Return the axis of a stored weight along which the scales lie."""
        user = self.users[name][0]
        if user.op_type == "DequantizeLinear":
            return int(next((a.i for a in user.attribute if a.name == "axis"), 1))
        return _outputs_axis(user, self.values[name].ndim)


class OnnxInsides(Insides):
    """See `Insides`.

    Args:
        floats: the float build.
        build: a quantized build of the same graph.
    """

    def __init__(self, floats: Build, build: Build) -> None:
        self._floats, self._quantized = _Graph.read(floats), _Graph.read(build)
        self._points: list[tuple[str, str, str, Callable[[NDArray[Any]], NDArray[np.float32]]]] = []
        for node in self._floats.model.graph.node:
            # If the activation function was fused away, the layer's own output holds its result.
            end = self._floats.end(node)
            counterpart = self._quantized.dequantized(end) or self._quantized.dequantized(node.output[0])
            if counterpart is not None:
                self._points.append((node.name, end, *counterpart))
        self._sessions = (
            _session(self._floats, [end for _, end, _, _ in self._points], floats.settings),
            _session(self._quantized, [name for _, _, name, _ in self._points], build.settings),
        )

    def weights(self) -> Iterator[Pair]:
        """See `Insides.weights`."""
        for node in self._floats.model.graph.node:
            if node.op_type in _WEIGHTED and node.input[1] in self._floats.values:
                expected, restored = self._floats.values[node.input[1]], self._quantized.weight(node.input[1])
                if restored is not None and restored.shape == expected.shape:
                    axis, restored = _outputs_axis(node, expected.ndim), restored.astype(np.float32)
                    yield node.name, np.moveaxis(expected, axis, 0), np.moveaxis(restored, axis, 0)

    def outputs(self, batch: Arrays) -> Iterator[Pair]:
        """See `Insides.outputs`."""
        expected, actual = (
            dict(zip(names, session.run(names, feeds(session, batch)), strict=True))
            for session, names in self._sessions
        )
        for layer, end, name, read in self._points:
            if expected[end].dtype == np.float32 and expected[end].shape == actual[name].shape:
                yield layer, expected[end], read(actual[name])


def _outputs_axis(node: onnx.NodeProto, dimensions: int) -> int:
    """Return the axis of a node's weight that holds the output channels."""
    if "Gemm" in node.op_type:
        return 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
    if "Conv" in node.op_type:
        return 1 if "Transpose" in node.op_type else 0
    return dimensions - 1


def _as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    return values.astype(np.float32, copy=False)


def _session(graph: _Graph, names: Sequence[str], settings: Mapping[str, str]) -> tuple[Any, list[str]]:
    """Return a session that also outputs the named tensors, and their names without duplicates."""
    import onnx
    import onnxruntime as ort

    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    existing = {output.name for output in model.graph.output}
    outputs = list(dict.fromkeys(names))
    # No type is given: the runtime infers it.
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs if name not in existing)
    options = session_options(settings)
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]), outputs
