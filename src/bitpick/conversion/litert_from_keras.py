"""Keras → LiteRT, by TensorFlow's own converter: the float model, with a free batch and all other sizes fixed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bitpick.conversion.hop import Hop
from bitpick.errors import OperatorError
from bitpick.library_errors import telling_line
from bitpick.models.model import Format

HOP = Hop(
    Format.KERAS,
    Format.LITERT,
    environment="keras",
    packages=("keras",),
    convert="bitpick.conversion.litert_from_keras:convert",
    sized=True,
)


def convert(source: str, out: str, shapes: Sequence[Sequence[int]] | None = None) -> None:
    """Write the LiteRT form of a Keras file.

    Args:
        source: the Keras file.
        out: the file to write.
        shapes: the shape of one sample of each input, see `Hop.sized`.

    Raises:
        OperatorError: the converter cannot express a layer.
    """
    from bitpick.conversion import keras_file, saved_model

    model = keras_file.load(Path(source))
    import keras
    import tensorflow as tf

    specs = keras_file.specs(model)
    fixed_specs = saved_model.with_fixed_shapes(specs, shapes)
    recurrent = any(isinstance(layer, keras.layers.RNN) for layer in model._flatten_layers())  # noqa: SLF001
    try:
        if len(model.inputs) == len(model.outputs) == 1 and fixed_specs == specs and not recurrent:
            content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
        else:  # numbered names: the converter sorts tensors by name, and only their order tells them apart
            holder = tf.Module()
            # The converter does not find the weights of a Keras model: they would stay unset variables.
            holder.weights = [variable.value for variable in model.variables]
            content = saved_model.to_litert(keras_file.flat(model), fixed_specs, holder)
    except Exception as error:
        reason = telling_line(error)
        raise OperatorError(
            f"TensorFlow cannot convert {Path(source).name} to LiteRT: {reason}",
            fix="convert it to a float .tflite file yourself and run bitpick on that, or leave LiteRT out",
        ) from error
    Path(out).write_bytes(content)
