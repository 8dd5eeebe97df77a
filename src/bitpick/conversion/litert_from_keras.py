"""Keras → LiteRT, by TensorFlow's own converter: the float model, its batch left free."""

from __future__ import annotations

from pathlib import Path

from bitpick.conversion.hop import Hop
from bitpick.errors import OperatorError
from bitpick.model import Format

HOP = Hop(
    Format.KERAS,
    Format.LITERT,
    environment="keras",
    packages=("keras",),
    convert="bitpick.conversion.litert_from_keras:convert",
)


def convert(source: str, out: str) -> None:
    """Write the LiteRT form of a Keras file.

    Raises:
        OperatorError: the converter cannot express a layer.
    """
    from bitpick.conversion import keras_file

    model = keras_file.load(Path(source))
    import tensorflow as tf

    try:
        content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise OperatorError(f"TensorFlow cannot convert {Path(source).name} to LiteRT: {first}") from error
    Path(out).write_bytes(content)
