"""The tensors inside an ONNX Runtime build: its own graph, run as it ships, with more outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.engines.engine import Build
from bitpick.engines.insides import Insides, Pair
from bitpick.engines.onnxruntime.graph import fed, session_options
from bitpick.preprocessing import Arrays

if TYPE_CHECKING:
    import onnx

_ACTIVATIONS = {"Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh"}  # the quantizer, or the runtime, fuses them
_WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


@dataclass(frozen=True)
class _Graph:
    """A graph with what to look things up in.

    Attributes:
        model: the graph's file.
        values: its stored tensors.
        made: which node gives a tensor.
        users: the nodes that take a tensor.
    """

    model: onnx.ModelProto
    values: Mapping[str, NDArray[Any]]
    made: Mapping[str, onnx.NodeProto]
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
        """The tensor that a node gives, after an activation function that nothing else sees the input of."""
        users = self.users.get(node.output[0], [])
        fused = len(users) == 1 and users[0].op_type in _ACTIVATIONS
        return str((users[0] if fused else node).output[0])

    def dequantized(self, name: str) -> tuple[str, Callable[[NDArray[Any]], NDArray[np.float32]]] | None:
        """The tensor in which a quantized graph has what the float graph calls by this name, and how to read it."""
        for each in self.users.get(name, ()):
            if each.op_type == "QuantizeLinear":
                for last in self.users.get(each.output[0], ()):
                    if last.op_type == "DequantizeLinear":
                        return last.output[0], _as_it_is
        if name in self.made:
            return name, _as_it_is
        if (integers := f"{name}_quantized") not in self.made or f"{name}_scale" not in self.values:
            return None
        scale, zero = self.values[f"{name}_scale"], self.values[f"{name}_zero_point"]
        return integers, lambda found: (found.astype(np.float32) - zero.astype(np.float32)) * scale

    def weight(self, name: str) -> NDArray[np.float32] | None:
        """What a quantized graph stores of a weight, dequantized; all forms of it have the same names."""
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
        """The axis of a stored weight that has a scale for each place."""
        user = self.users[name][0]
        if user.op_type == "DequantizeLinear":
            return int(next((a.i for a in user.attribute if a.name == "axis"), 1))
        return _outputs_axis(user, self.values[name].ndim)


class OnnxInsides(Insides):
    """See `Insides`.

    Args:
        floats: the float build.
        build: a quantized build, from the same graph.
    """

    def __init__(self, floats: Build, build: Build) -> None:
        self._floats, self._quantized = _Graph.read(floats), _Graph.read(build)
        self._points: list[tuple[str, str, str, Callable[[NDArray[Any]], NDArray[np.float32]]]] = []
        for node in self._floats.model.graph.node:
            # Where the activation function is gone, its layer's own tensor holds what comes out of it.
            end = self._floats.end(node)
            found = self._quantized.dequantized(end) or self._quantized.dequantized(node.output[0])
            if found is not None:
                self._points.append((node.name, end, *found))
        self._sessions = (
            _session(self._floats, [end for _, end, _, _ in self._points], floats.settings),
            _session(self._quantized, [name for _, _, name, _ in self._points], build.settings),
        )

    def weights(self) -> Iterator[Pair]:
        """See `Insides.weights`."""
        for node in self._floats.model.graph.node:
            if node.op_type in _WEIGHTED and node.input[1] in self._floats.values:
                expected, found = self._floats.values[node.input[1]], self._quantized.weight(node.input[1])
                if found is not None and found.shape == expected.shape:
                    outputs, found = _outputs_axis(node, expected.ndim), found.astype(np.float32)
                    yield node.name, np.moveaxis(expected, outputs, 0), np.moveaxis(found, outputs, 0)

    def outputs(self, batch: Arrays) -> Iterator[Pair]:
        """See `Insides.outputs`."""
        expected, found = (
            dict(zip(names, session.run(names, fed(session, batch)), strict=True)) for session, names in self._sessions
        )
        for layer, end, name, read in self._points:
            if expected[end].dtype == np.float32 and expected[end].shape == found[name].shape:
                yield layer, expected[end], read(found[name])


def _outputs_axis(node: onnx.NodeProto, dimensions: int) -> int:
    """The axis of a node's weight that has its outputs."""
    if "Gemm" in node.op_type:
        return 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
    if "Conv" in node.op_type:
        return 1 if "Transpose" in node.op_type else 0
    return dimensions - 1


def _as_it_is(found: NDArray[Any]) -> NDArray[np.float32]:
    return found.astype(np.float32, copy=False)


def _session(graph: _Graph, names: Sequence[str], settings: Mapping[str, str]) -> tuple[Any, list[str]]:
    """A session that gives the named tensors too, and their names."""
    import onnx
    import onnxruntime as ort

    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    given = {output.name for output in model.graph.output}
    wanted = list(dict.fromkeys(names))
    # Without a type: the runtime infers it.
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in given)
    options = session_options(settings)
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]), wanted
