"""Keras → ONNX, by tf2onnx. Batch norm, names and layout are as the converter leaves them."""

from __future__ import annotations

from pathlib import Path

from bitpick.conversion import onnx_passes
from bitpick.conversion.hop import Hop
from bitpick.errors import OperatorError
from bitpick.library_errors import telling_line
from bitpick.model import Format

OPSET = 17  # the newest that every consumer of the graph reads: ONNX Runtime's quantizer, our PyTorch importer

HOP = Hop(
    Format.KERAS,
    Format.RAW_ONNX,
    environment="keras",
    packages=("keras", "tf2onnx"),
    convert="bitpick.conversion.onnx_from_keras:convert",
)


def convert(source: str, out: str) -> None:
    """Write the ONNX form of a Keras file.

    Raises:
        OperatorError: tf2onnx cannot express a layer.
    """
    from bitpick.conversion import keras_file

    model = keras_file.load(Path(source))
    # Functional, whatever it was: tf2onnx does not find the outputs of a Sequential model.
    import keras
    import onnx
    import tf2onnx

    model = keras.Model(model.inputs, model.outputs)
    try:
        made, _ = tf2onnx.convert.from_keras(model, input_signature=keras_file.specs(model), opset=OPSET)
    except Exception as error:
        told = telling_line(error)
        raise OperatorError(
            f"tf2onnx cannot convert {Path(source).name} to opset {OPSET}: {told}",
            mend="convert it to .onnx yourself, and give that",
        ) from error
    onnx_passes.spell_out_erfc(made)
    onnx.save(made, out)
