"""Keras → ONNX, by tf2onnx. Batch norm, names and layout are as the converter leaves them."""

from __future__ import annotations

from pathlib import Path

from bitpick.conversion.hop import Hop
from bitpick.errors import ModelError, OperatorError
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
        ModelError: the model has several inputs or outputs.
        OperatorError: tf2onnx cannot express a layer.
    """
    from bitpick.conversion import keras_file

    model = keras_file.load(Path(source))
    import tensorflow as tf
    import tf2onnx

    for side, tensors in (("input", model.inputs), ("output", model.outputs)):
        if len(tensors) != 1:
            raise ModelError(
                f"the model {Path(source).name} has {len(tensors)} {side}s", expected="one input and one output"
            )
    name = model.inputs[0].name.partition(":")[0]
    # Functional, whatever it was: tf2onnx does not find the outputs of a Sequential model.
    import keras

    model = keras.Model(model.inputs, model.outputs)
    signature = [tf.TensorSpec([None, *model.inputs[0].shape[1:]], model.inputs[0].dtype, name=name)]
    try:
        tf2onnx.convert.from_keras(model, input_signature=signature, opset=OPSET, output_path=out)
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise OperatorError(f"tf2onnx cannot convert {Path(source).name} to opset {OPSET}: {first}") from error
