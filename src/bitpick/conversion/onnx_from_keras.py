"""Keras → ONNX, by tf2onnx. Batch norm, names and layout stay as the converter writes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bitpick.conversion import onnx_passes
from bitpick.conversion.hop import Hop
from bitpick.errors import OperatorError
from bitpick.library_errors import telling_line
from bitpick.models.model import Format

if TYPE_CHECKING:
    import onnx

OPSET = 17  # the newest that all readers of the graph support: ONNX Runtime's quantizer, our PyTorch importer

HOP = Hop(
    Format.KERAS,
    Format.RAW_ONNX,
    environment="keras",
    packages=("keras", "tf2onnx"),
    convert="bitpick.conversion.onnx_from_keras:convert",
)


def convert(source: str, out: str) -> list[str]:
    """Write the ONNX form of a Keras file; return notes for the user, see `Hop.convert`.

    Raises:
        OperatorError: tf2onnx cannot express a layer.
    """
    from bitpick.conversion import keras_file, keras_precision

    model = keras_file.load(Path(source))
    # Always functional: tf2onnx does not find the outputs of a Sequential model.
    import keras
    import onnx
    import tf2onnx

    model = keras.Model(model.inputs, model.outputs)
    try:
        converted, _ = tf2onnx.convert.from_keras(model, input_signature=keras_file.specs(model), opset=OPSET)
        refuse_foreign(converted)
    except Exception as error:
        reason = telling_line(error)
        raise OperatorError(
            f"tf2onnx cannot convert {Path(source).name} to opset {OPSET}: {reason}",
            fix="convert it to .onnx yourself, and run bitpick on that",
        ) from error
    onnx_passes.spell_out_erfc(converted)
    onnx.save(converted, out)
    if precisions := keras_precision.other_precisions(Path(source)):
        _check(Path(source), model, keras_precision.coarsest(precisions))
    return keras_precision.notes(precisions)


def refuse_foreign(model: onnx.ModelProto) -> None:
    """Refuse TensorFlow operators in the graph: tf2onnx keeps those that it does not know.

    Raises:
        ValueError: the graph has such operators.
    """
    from onnx import defs

    foreign = sorted({node.op_type for node in model.graph.node if not node.domain and not defs.has(node.op_type)})
    if foreign:
        raise ValueError(f"ONNX has no operator {', '.join(foreign)}")


def _check(path: Path, model: Any, dtype: Any) -> None:
    """Compare a model that was read in float32 with the file in its own precision, on random inputs."""
    from bitpick.conversion import keras_file, verify

    batch = keras_file.random_inputs(model.inputs)
    sides = (keras_file.flat(each)(*batch) for each in (keras_file.load(path, float32=False), model))
    reference, outputs = (tuple(np.asarray(each, np.float32) for each in side) for side in sides)
    if all(np.isfinite(each).all() for each in reference):  # half precision overflows early
        verify.check(reference, outputs, f"reading {path.name} in float32", dtype)
