"""TensorFlow SavedModel → ONNX, by tf2onnx."""

from __future__ import annotations

import re
from pathlib import Path

from bitpick.conversion import onnx_passes
from bitpick.conversion.hop import Hop
from bitpick.conversion.onnx_from_keras import OPSET
from bitpick.errors import OperatorError
from bitpick.library_errors import telling_line
from bitpick.model import Format

# The steps of a node's path that say it was called from a saved function.
_CALLS = re.compile(r"(Stateful)?PartitionedCall(_\d+)?/")

HOP = Hop(
    Format.SAVED_MODEL,
    Format.RAW_ONNX,
    environment="keras",
    packages=("keras", "tf2onnx"),
    convert="bitpick.conversion.onnx_from_saved_model:convert",
)


def convert(source: str, out: str) -> None:
    """Write the ONNX form of a SavedModel.

    Raises:
        OperatorError: tf2onnx cannot express an operator.
    """
    from bitpick.conversion import saved_model

    model = saved_model.load(Path(source))
    import onnx
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec(s.shape, s.dtype, name=s.name) for s in model.specs]
    try:
        made, _ = tf2onnx.convert.from_function(
            tf.function(model.call, autograph=False), input_signature=signature, opset=OPSET
        )
    except Exception as error:
        told = telling_line(error)
        raise OperatorError(
            f"tf2onnx cannot convert {Path(source).name} to opset {OPSET}: {told}",
            mend="convert it to .onnx yourself, and give that",
        ) from error
    for node in made.graph.node:
        node.name = _CALLS.sub("", node.name)
    onnx_passes.spell_out_erfc(made)
    onnx.save(made, out)
