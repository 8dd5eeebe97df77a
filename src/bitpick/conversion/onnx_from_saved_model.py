"""TensorFlow SavedModel → ONNX, by tf2onnx."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bitpick.conversion import onnx_passes
from bitpick.conversion.hop import Hop
from bitpick.conversion.onnx_from_keras import OPSET, refuse_foreign
from bitpick.errors import OperatorError
from bitpick.library_errors import telling_line
from bitpick.models.model import Format

if TYPE_CHECKING:
    import onnx

    from bitpick.conversion.saved_model import SavedModel

# Steps of a node's path that stand for the call of a saved function.
_CALLS = re.compile(r"(Stateful)?PartitionedCall(_\d+)?/")

HOP = Hop(
    Format.SAVED_MODEL,
    Format.RAW_ONNX,
    environment="keras",
    packages=("keras", "tf2onnx"),
    convert="bitpick.conversion.onnx_from_saved_model:convert",
)


def convert(source: str, out: str) -> list[str]:
    """Write the ONNX form of a SavedModel; return notes for the user, see `Hop.convert`.

    Raises:
        OperatorError: tf2onnx cannot express an operator.
        ConversionError: in float32 the model computes something else than in its saved precision.
    """
    from bitpick.conversion import saved_model, saved_model_copy

    model = saved_model.load(Path(source))
    import onnx
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec(s.shape, s.dtype, name=s.name) for s in model.specs]
    function = tf.function(model.call, autograph=False)
    try:
        converted, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
        refuse_foreign(converted)
        captured = {tensor.name for _, tensor in function.get_concrete_function(*signature).graph.captures}
    except Exception as error:
        reason = telling_line(error)
        raise OperatorError(
            f"tf2onnx cannot convert {Path(source).name} to opset {OPSET}: {reason}",
            fix="convert it to .onnx yourself, and run bitpick on that",
        ) from error
    _drop_inputs(converted, captured)
    for node in converted.graph.node:
        node.name = _CALLS.sub("", node.name)
    onnx_passes.spell_out_erfc(converted)
    onnx.save(converted, out)
    if not saved_model_copy.is_mixed(Path(source)):
        return []
    _check(Path(source), model)
    return ["the model computes in half precision with float32 weights: it is read and compared in float32"]


def _drop_inputs(model: onnx.ModelProto, names: set[str]) -> None:
    """Drop inputs for captured constants: tf2onnx declares them as inputs although it stores their values."""
    kept = [each for each in model.graph.input if each.name not in names]
    del model.graph.input[:]
    model.graph.input.extend(kept)


def _check(path: Path, model: SavedModel) -> None:
    """Compare a model that was read in float32 with the one in its own precision, on random inputs."""
    import ml_dtypes
    import tensorflow as tf

    from bitpick.conversion import keras_file, saved_model, verify

    batch = [tf.constant(each) for each in keras_file.random_inputs(model.specs)]
    sides = (each.call(*batch) for each in (saved_model.load(path, float32=False), model))
    reference, outputs = (tuple(np.asarray(each, np.float32) for each in side) for side in sides)
    if all(np.isfinite(each).all() for each in reference):  # half precision overflows early
        verify.check(reference, outputs, f"reading {path.name} in float32", ml_dtypes.bfloat16)
