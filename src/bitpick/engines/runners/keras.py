"""Keras, on TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class Build:
    """The build, opened by Keras on TensorFlow."""

    packages = ("keras", "tensorflow", "tensorflow-cpu")
    batch = 1

    def __init__(self, folder: Path, files: list[str], settings: dict[str, str], threads: int) -> None:
        import os

        os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        import keras
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        self.constant = tf.constant
        self.flatten = keras.tree.flatten
        model = keras.saving.load_model(folder / files[0], compile=False, safe_mode=True)
        structure = model.input  # a tensor, or a list or a dict of them

        def call(inputs: Any) -> Any:
            return model(keras.tree.pack_sequence_as(structure, inputs), training=False)

        self.call = tf.function(call)

    def prepare(self, inputs: list[np.ndarray]) -> Any:
        return [self.constant(each) for each in inputs]

    def run(self, native: Any) -> Any:
        return self.call(native)

    def outputs(self, native: Any) -> list[np.ndarray]:
        return [np.asarray(each) for each in self.flatten(native)]
