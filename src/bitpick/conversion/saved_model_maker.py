"""Keras models that need the user's code → a SavedModel, which needs none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bitpick.conversion import keras_file, keras_precision, saved_model, training_mode, verify
from bitpick.conversion.made import MakerResult
from bitpick.errors import ModelError
from bitpick.library_errors import telling_line
from bitpick.models import user_code


def make(out: str, source: str, builder: str | None) -> MakerResult:
    """Write the SavedModel of a Keras model that the user trusts, and check it against the original on random inputs.

    Args:
        out: the folder to write.
        source: the Keras file: a whole model, or the weights for the model that the builder returns.
        builder: `module:function` that returns the model; None for a whole model.

    Raises:
        ModelError: the model cannot be opened or run.
        ConversionError: the SavedModel computes something else.
    """
    keras_file.use_tensorflow()
    import tensorflow as tf

    if builder is None:
        model, notes = _load_model(source), keras_precision.file_notes(Path(source))
    else:
        model = _build_model(source, builder)
        notes = keras_precision.notes(keras_precision.set_float32(model))
    training_mode.refuse(source, training_mode.of_keras(model), keras_file.EVALUATE)
    batch = keras_file.random_inputs(model.inputs)
    try:
        call = keras_file.flat(model)
        expected = call(*batch)
        holder = tf.Module()
        holder.model = model  # the owner of the variables must be saved with the function
        tf.saved_model.save(holder, out, signatures=saved_model.with_numbered_names(call, keras_file.specs(model)))
        actual = saved_model.load(Path(out)).call(*batch)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"Keras cannot run or export {source}: {telling_line(error)}",
            fix="export it with model.export('folder') where it was made, and give the folder",
        ) from error
    reference, outputs = (tuple(np.asarray(each) for each in side) for side in (expected, actual))
    verify.check(reference, outputs, f"exporting {source}")
    return MakerResult(notes=tuple(notes))


def _load_model(source: str) -> Any:
    import keras

    try:
        user_code.add_current_folder()
        with keras_precision.in_float32(Path(source)) as file:
            return keras.saving.load_model(file, compile=False, safe_mode=False)
    except Exception as error:
        raise ModelError(
            f"Keras cannot read {source}: {telling_line(error)}",
            fix="export it with model.export('folder') where it was made, and give the folder",
        ) from error


def _build_model(source: str, builder: str) -> Any:
    import keras

    model = user_code.call(builder)
    if not isinstance(model, keras.Model):
        raise ModelError(f"{builder} returns a {type(model).__name__}", expected="a keras.Model, built")
    try:
        model.load_weights(source)
    except Exception as error:
        raise ModelError(
            f"the weights in {source} do not fit the model of {builder}: {telling_line(error)}",
            expected="weights that save_weights wrote for this very model",
        ) from error
    return model
