"""The tensors inside an OpenVINO IR: the model compiled as it ships, with additional outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.engines.insides import Insides, Pair
from bitpick.engines.openvino.graph import WEIGHTED, stored_values
from bitpick.preprocessing import Arrays

_FUSED = {"Add", "Relu", "Clamp", "PRelu", "Sigmoid", "FakeQuantize"}


class OpenVinoInsides(Insides):
    """See `Insides`. Operators keep their names when a model is quantized.

    Args:
        floats: the file of the float model.
        build: the file of a quantized version of the same model.
        configuration: the runtime's settings.
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
            # An end that already is an output of the model gets no second result.
            output_names = [result.input_value(0).get_node().get_friendly_name() for result in model.get_results()]
            places = {name: output_names.index(end.get_friendly_name()) for name, end in zip(names, ends, strict=True)}
            self._runs.append((compiled, {name: compiled.outputs[place] for name, place in places.items()}))

    def weights(self) -> Iterator[Pair]:
        """See `Insides.weights`."""
        floats, build = (layers for _, layers in self._models)
        for name, layer in floats.items():
            if name in build:
                expected, restored = _constant(layer.input_value(1)), _constant(build[name].input_value(1))
                if expected is not None and restored is not None and expected.shape == restored.shape:
                    yield short_name(name), _outputs_first(layer, expected), _outputs_first(layer, restored)

    def outputs(self, batch: Arrays) -> Iterator[Pair]:
        """See `Insides.outputs`."""
        (floats, float_outputs), (build, build_outputs) = self._runs
        expected, actual = floats(list(batch)), build(list(batch))
        for name, output in float_outputs.items():
            yield short_name(name), np.asarray(expected[output]), np.asarray(actual[build_outputs[name]])


def layer_weights(model: Any) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield name and weights of each operator of a model that has stored weights."""
    for op in model.get_ordered_ops():
        values = _constant(op.input_value(1)) if op.get_type_name() in WEIGHTED else None
        if values is not None:
            yield op.get_friendly_name(), values


def short_name(name: str) -> str:
    """Return an operator's name as recipes have it."""
    return name.removesuffix("/WithoutBiases")


def _outputs_first(layer: Any, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a weight with its output channels first, of shape (outputs, …)."""
    kind = layer.get_type_name()
    if kind == "MatMul":
        return weight if layer.get_attributes()["transpose_b"] else weight.swapaxes(-1, -2)
    transposed = kind.endswith("BackpropData")
    if kind.startswith("Group"):  # (groups, outputs per group, …); transposed convolutions have inputs before outputs
        weight = weight.swapaxes(1, 2) if transposed else weight
        return weight.reshape(-1, *weight.shape[2:])
    return weight.swapaxes(0, 1) if transposed else weight


def _end(layer: Any) -> Any:
    """Return the last operator fused into a layer: its bias, activation function, or FakeQuantize."""
    while True:
        users = [target.get_node() for target in layer.output(0).get_target_inputs()]
        if len(users) != 1 or users[0].get_type_name() not in _FUSED:
            return layer
        if users[0].get_type_name() == "Add" and _constant(users[0].input_value(1)) is None:
            return layer  # it adds two layers, not a layer and its bias
        layer = users[0]


def _constant(value: Any) -> NDArray[np.float32] | None:
    """Return the dequantized value of a constant subgraph; None if it depends on the model's input."""
    node = value.get_node()
    kind = node.get_type_name()
    if kind == "Constant":
        data: NDArray[np.float32] = stored_values(node).astype(np.float32)
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
