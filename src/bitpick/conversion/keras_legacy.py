"""Read files of Keras 2 (TensorFlow 2's Keras), whose model configurations Keras 3 partly refuses."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

# Fields that Keras 2 writes for layers that do not use them, and that Keras 3's layers refuse.
_MEANINGLESS: dict[tuple[str, ...], dict[str, object]] = {
    ("Depthwise", "Separable", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"): {"groups": 1},
    ("LSTM", "GRU", "SimpleRNN"): {"time_major": False},
}
# Fields that matter only in training.
_TRAINING = {"Separable": ("kernel_initializer", "kernel_regularizer", "kernel_constraint")}
# TensorFlow functions that Keras 2 saved as layers of this class, and the equivalents in `keras.ops`.
_FUNCTION_LAYER = "TFOpLambda"
_FUNCTIONS = {
    "__operators__.add": "add",
    "math.add": "add",
    "math.subtract": "subtract",
    "math.multiply": "multiply",
    "math.divide": "true_divide",
    "math.truediv": "true_divide",
    "math.sigmoid": "sigmoid",
    "math.tanh": "tanh",
    "nn.relu": "relu",
    "nn.relu6": "relu6",
    "nn.sigmoid": "sigmoid",
    "nn.softmax": "softmax",
    "nn.swish": "silu",
}
_CONSTANT = "_CONSTANT_VALUE"


def is_legacy(path: Path) -> bool:
    """Return whether a file was written by Keras 2 or older, which wrote only HDF5 files."""
    if path.suffix.lower() == ".keras":
        return False
    import h5py

    with h5py.File(path) as file:
        version = file.attrs.get("keras_version", "")
    text = version.decode() if isinstance(version, bytes) else str(version)
    return not text.startswith("3")


def load(path: Path) -> Any:
    """Load the `keras.Model` of a legacy file, from a copy whose configuration Keras 3 accepts.

    If the model is saved again, Keras 3 opens the file by itself.
    """
    import h5py
    import keras

    with tempfile.TemporaryDirectory(prefix="bitpick-") as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        copy.chmod(0o600)
        with h5py.File(copy, "r+") as file:
            config = json.dumps(modernize(json.loads(file.attrs["model_config"])))
            # h5py stores attributes over 64 kB separately, by itself.
            file.attrs["model_config"] = config
        function = function_layer()
        model = keras.saving.load_model(copy, compile=False, safe_mode=True, custom_objects={_FUNCTION_LAYER: function})
        return inline_functions(model, function) if _FUNCTION_LAYER in config else model


def modernize(config: Any) -> Any:
    """Return a model's configuration in the form that Keras 3 accepts.

    Args:
        config: the configuration, or a part of it, as parsed JSON; modified in place.
    """
    names = {name: name.replace("/", ".") for name in _names(config) if "/" in name}  # Keras 3 allows no slash
    return _rename(_modernize_part(config), names)


def _modernize_part(part: Any) -> Any:
    if isinstance(part, list):
        return [_modernize_part(each) for each in part]
    if not isinstance(part, dict):
        return part
    class_name, fields = part.get("class_name"), part.get("config")
    if class_name == "Policy" and isinstance(fields, dict):
        return fields["name"]  # a precision policy, which Keras 3 takes by name
    if isinstance(class_name, str) and isinstance(fields, dict):
        _modernize_fields(class_name, fields)
        if class_name == _FUNCTION_LAYER and len(part.get("inbound_nodes", ())) == 1:
            _take_operands(part)
    return {key: _modernize_part(value) for key, value in part.items()}


def _modernize_fields(class_name: str, fields: dict[str, Any]) -> None:
    """Change the fields of a layer to what Keras 3 accepts, in place."""
    for prefixes, meaningless in _MEANINGLESS.items():
        for key, value in meaningless.items():
            if class_name.startswith(prefixes) and fields.get(key) == value:
                del fields[key]
    for prefix, keys in _TRAINING.items():
        for key in keys if class_name.startswith(prefix) else ():
            fields.pop(key, None)
    if class_name == "BatchNormalization" and isinstance(fields.get("axis"), list) and len(fields["axis"]) == 1:
        (fields["axis"],) = fields["axis"]  # Keras 3 does this too, but not inside wrappers such as TimeDistributed


def _take_operands(layer: dict[str, Any]) -> None:
    """Move the constants among a function's operands from the graph to the layer's configuration.

    A node of this layer is `[layer, node, tensor, {"y": …}]`, where `y` is a constant or another such triple.
    """
    *first, others = layer["inbound_nodes"][0]
    operands = [first, *(value for key, value in others.items() if key != "name")]
    tensors = [each for each in operands if isinstance(each, list) and each[0] != _CONSTANT]
    constants = [None if each in tensors else each[2] if isinstance(each, list) else each for each in operands]
    layer["config"]["constants"] = constants
    layer["inbound_nodes"] = [[[*each[:3], {}] for each in tensors]]


def function_layer() -> type[Any]:
    """Return the layer class that replaces Keras 2's `TFOpLambda` until `inline_functions` removes it. Loads Keras."""
    import keras

    class Function(keras.layers.Layer):  # type: ignore[misc]
        """A `keras.ops` function of tensors and constants.

        Args:
            function: the function's name in TensorFlow.
            constants: the value of each operand, or None for the next tensor.
            options: options that every layer has.
        """

        def __init__(self, function: str, constants: list[float | None], **options: Any) -> None:
            super().__init__(**options)
            if function not in _FUNCTIONS:
                raise ValueError(f"it uses the TensorFlow function {function}, which Keras 3 has no layer for")
            self._function, self._constants = function, constants

        def call(self, inputs: Any) -> Any:
            tensors = iter(inputs if isinstance(inputs, (list, tuple)) else [inputs])
            operands = [next(tensors) if constant is None else constant for constant in self._constants]
            return getattr(keras.ops, _FUNCTIONS[self._function])(*operands)

    return Function


def inline_functions(model: Any, function: type[Any]) -> Any:
    """Return a copy of the model that calls `keras.ops` instead of these layers, and shares all other layers."""
    import keras

    def call(layer: Any, *inputs: Any, **options: Any) -> Any:
        return layer.call(*inputs) if isinstance(layer, function) else layer(*inputs, **options)

    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call, recursive=True)


def _names(part: Any) -> set[str]:
    """Return the names of all layers in a configuration."""
    if isinstance(part, list):
        return {name for each in part for name in _names(each)}
    if not isinstance(part, dict):
        return set()
    config = part.get("config")
    names = {config["name"]} if isinstance(config, dict) and isinstance(config.get("name"), str) else set()
    return names | {name for value in part.values() for name in _names(value)}


def _rename(part: Any, names: dict[str, str]) -> Any:
    if isinstance(part, str):
        return names.get(part, part)
    if isinstance(part, list):
        return [_rename(each, names) for each in part]
    if isinstance(part, dict):
        return {key: _rename(value, names) for key, value in part.items()}
    return part
