"""Open Keras files, with TensorFlow as the back-end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.errors import ModelError
from bitpick.library_errors import telling_line

EVALUATE = "build the model without training=True in the calls of these layers, and load the weights into it"


def use_tensorflow() -> None:
    """Make TensorFlow the back-end of Keras in this process, quiet and on the CPU. Call it before Keras is imported.

    This is a worker's own environment, so the user's settings elsewhere do not matter.
    """
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


def load(path: Path, float32: bool = True) -> Any:
    """Load the `keras.Model` from a `.keras` or legacy `.h5` file, without its training configuration.

    Args:
        path: the file.
        float32: whether to read it in float32, whatever precision it was saved in, see `keras_precision`.

    Raises:
        ModelError: Keras cannot read the file, or the model calls layers in training mode or keeps a state.
    """
    use_tensorflow()
    import keras

    from bitpick.conversion import keras_legacy, keras_precision, training_mode

    try:
        with keras_precision.in_float32(path) if float32 else contextlib.nullcontext(path) as file:
            if keras_legacy.is_legacy(file):
                model = keras_legacy.load(file)
            else:
                model = keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:
        reason = telling_line(error)
        raise ModelError(
            f"Keras cannot read {path}: {reason}",
            expected="a model saved whole (architecture and weights), of Keras's own layers",
            fix="export it with model.export('folder') and give the folder, or check that the file was copied whole",
        ) from error
    training_mode.refuse(str(path), training_mode.of_keras(model), EVALUATE)
    _refuse_states(path, model)
    return model


def _refuse_states(path: Path, model: Any) -> None:
    """Refuse a model whose outputs depend on earlier samples."""
    layers = model._flatten_layers()  # noqa: SLF001 - no public API lists nested layers
    stateful = [f"{type(layer).__name__} {layer.name}" for layer in layers if getattr(layer, "stateful", False)]
    if stateful:
        raise ModelError(
            f"the model {path} keeps the state of {', '.join(stateful)} from one call to the next",
            expected="a model whose answer depends on its inputs alone",
            fix="build it with stateful=False and load the weights into it, or make the states inputs and outputs",
        )


def random_inputs(tensors: Iterable[Any]) -> list[NDArray[Any]]:
    """Make two samples, or a fixed batch, for each input of a model: normal floats, or zeros for integers.

    Args:
        tensors: the inputs, as Keras or TensorFlow describes them; a free size becomes eight.
    """
    arrays = []
    for tensor in tensors:
        batch, *sizes = tensor.shape
        shape = (batch or 2, *(8 if size is None else size for size in sizes))
        dtype = np.dtype(getattr(tensor.dtype, "as_numpy_dtype", tensor.dtype))
        floats = np.issubdtype(dtype, np.floating)
        arrays.append((np.random.default_rng(0).normal(size=shape) if floats else np.zeros(shape)).astype(dtype))
    return arrays


def specs(model: Any) -> list[Any]:
    """Return a `tf.TensorSpec` for each input of a model, with a free batch."""
    import tensorflow as tf

    return [tf.TensorSpec([None, *t.shape[1:]], t.dtype, t.name.partition(":")[0]) for t in model.inputs]


def flat(model: Any) -> Callable[..., list[Any]]:
    """Return a model as a function that takes its inputs in order and returns its outputs as a list."""
    import keras

    # A tensor, or a list or a dict of them. A Sequential model has one; if it was only loaded, it has no `input` yet.
    structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input

    def call(*inputs: Any) -> list[Any]:
        packed = keras.tree.pack_sequence_as(structure, list(inputs))
        outputs: list[Any] = keras.tree.flatten(model(packed, training=False))
        return outputs

    return call
