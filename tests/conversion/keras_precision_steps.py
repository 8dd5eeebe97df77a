"""What workers do for `test_keras_precision`: models in other precisions, and what they compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def build(policy: str = "mixed_float16") -> Any:
    """Layers of many kinds: nested models, wrappers, attention, a recurrent cell, batch norm."""
    import keras
    from keras import layers

    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        keras.utils.set_random_seed(0)
        inner = keras.Sequential(
            [keras.Input((6,)), layers.Dense(6, "relu"), layers.BatchNormalization()], name="inner"
        )
        source = keras.Input((5, 4), name="x", dtype="float64" if policy == "float64" else "float32")
        x = layers.Conv1D(6, 3, padding="causal", activation="relu")(source)
        x = layers.TimeDistributed(inner)(x)
        x = layers.MultiHeadAttention(2, 3)(x, x)
        x = layers.Bidirectional(layers.LSTM(4, recurrent_initializer="glorot_uniform"))(x)
        out = layers.Dense(3, dtype="float64" if policy == "float64" else "float32")(x)
        return keras.Model(source, out)
    finally:
        keras.mixed_precision.set_dtype_policy(before)


def write(policy: str, out: str, inputs: str, expected: str) -> None:
    """Write the model, and what Keras computes with it in the precision that it has."""
    model = build(policy)
    model.save(out) if not out.endswith(".weights.h5") else model.save_weights(out)
    np.save(expected, np.asarray(model(np.load(inputs), training=False), np.float32))


def read(source: str, inputs: str) -> dict[str, Any]:
    """What bitpick reads: outputs, the precisions of layers and weights, and what the file is said to be in."""
    from bitpick.conversion import keras_file, keras_precision

    model = keras_file.load(Path(source))
    return {
        "outputs": np.asarray(model(np.load(inputs), training=False)).tolist(),
        "computes": sorted({layer.compute_dtype for layer in model._flatten_layers()}),
        "weights": sorted({str(weight.dtype) for weight in model.weights}),
        "named": keras_precision.other_precisions(Path(source)),
    }


def ship(source: str, out: str) -> list[str]:
    """The policies in the file that the Keras build ships."""
    from bitpick.conversion import keras_precision
    from bitpick.engines.keras.engine import KerasEngine
    from bitpick.recipe import baseline

    Path(out).mkdir()
    build = KerasEngine().build(Path(source), baseline("keras"), None, None, Path(out))
    return keras_precision.other_precisions(build.main)
