"""The tensors inside an OpenVINO IR: the model compiled as it ships, with more results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.engines.insides import Insides, Pair
from bitpick.engines.openvino.graph import WEIGHTED
from bitpick.preprocessing import Arrays

_FUSED = {"Add", "Relu", "Clamp", "PRelu", "Sigmoid", "FakeQuantize"}


class OpenVinoInsides(Insides):
    """See `Insides`. Operators have the same names in a float model and in those that were made from it.

    Args:
        floats: the float model's file.
        build: a quantized model's, from the same one.
        configuration: what the runtime is told as it compiles.
    """

    def __init__(self, floats: Path, build: Path, configuration: Mapping[str, str | int]) -> None:
        import openvino

        self._models = []
        for path in (floats, build):
            model = openvino.Core().read_model(path)
            layers = {op.get_friendly_name(): op for op in model.get_ordered_ops() if op.get_type_name() in WEIGHTED}
            self._models.append((model, layers))
        names = [name for name in self._models[0][1] if name in self._models[1][1]]
        self._runs = []
        for model, layers in self._models:
            ends = [_end(layers[name]) for name in names]
            model.add_outputs([end.output(0) for end in ends])
            compiled = openvino.Core().compile_model(model, "CPU", dict(configuration))
            # An end that is the model's own output gets no second result.
            gives = [result.input_value(0).get_node().get_friendly_name() for result in model.get_results()]
            places = {name: gives.index(end.get_friendly_name()) for name, end in zip(names, ends, strict=True)}
            self._runs.append((compiled, {name: compiled.outputs[place] for name, place in places.items()}))

    def weights(self) -> Iterator[Pair]:
        """See `Insides.weights`."""
        floats, build = (layers for _, layers in self._models)
        for name, layer in floats.items():
            if name in build:
                expected, found = _constant(layer.input_value(1)), _constant(build[name].input_value(1))
                if expected is not None and found is not None and expected.shape == found.shape:
                    yield _short(name), _outputs_first(layer, expected), _outputs_first(layer, found)

    def outputs(self, batch: Arrays) -> Iterator[Pair]:
        """See `Insides.outputs`."""
        (floats, wanted), (build, same) = self._runs
        expected, found = floats(list(batch)), build(list(batch))
        for name, output in wanted.items():
            yield _short(name), np.asarray(expected[output]), np.asarray(found[same[name]])


def _short(name: str) -> str:
    return name.removesuffix("/WithoutBiases")


def _outputs_first(layer: Any, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """A weight of shape (outputs, …)."""
    kind = layer.get_type_name()
    if kind == "MatMul":
        return weight if layer.get_attributes()["transpose_b"] else weight.swapaxes(-1, -2)
    transposed = kind.endswith("BackpropData")
    if kind.startswith("Group"):  # (groups, outputs of one, …), or with both sides exchanged
        weight = weight.swapaxes(1, 2) if transposed else weight
        return weight.reshape(-1, *weight.shape[2:])
    return weight.swapaxes(0, 1) if transposed else weight


def _end(layer: Any) -> Any:
    """The last operator that is fused into a layer: its bias, an activation function, what rounds its output."""
    while True:
        users = [target.get_node() for target in layer.output(0).get_target_inputs()]
        if len(users) != 1 or users[0].get_type_name() not in _FUSED:
            return layer
        if users[0].get_type_name() == "Add" and _constant(users[0].input_value(1)) is None:
            return layer  # of two layers, not of a layer and its bias
        layer = users[0]


def _constant(value: Any) -> NDArray[np.float32] | None:
    """What a subgraph of constants gives, dequantized; None where it depends on the input."""
    node = value.get_node()
    kind = node.get_type_name()
    if kind == "Constant":
        data: NDArray[np.float32] = np.asarray(node.get_data()).astype(np.float32)
        return data
    first = (
        _constant(node.input_value(0)) if kind in ("Convert", "Multiply", "Subtract", "Reshape", "Transpose") else None
    )
    if first is None or kind == "Convert":
        return first
    second = _constant(node.input_value(1))
    if second is None:
        return None
    if kind == "Multiply":
        return first * second
    if kind == "Subtract":
        return first - second
    return first.reshape(second.astype(int)) if kind == "Reshape" else first.transpose(second.astype(int))
