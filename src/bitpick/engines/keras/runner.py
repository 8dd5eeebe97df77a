"""Keras, or a TensorFlow SavedModel, on TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class Build:
    """The build, opened by TensorFlow if it is a SavedModel, otherwise by Keras."""

    packages = ("keras", "tensorflow", "tensorflow-cpu")
    batch = 1

    def __init__(self, folder: Path, files: list[str], settings: dict[str, str], threads: int) -> None:
        import os

        os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        os.environ.setdefault("KERAS_HOME", os.devnull)  # by default it writes its settings in the home folder
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        self.constant = tf.constant
        file = folder / files[0]
        self.call = tf.function(self.signature(file.parent) if file.suffix == ".pb" else self.model(file))

    def model(self, file: Path) -> Any:
        import keras

        model = keras.saving.load_model(file, compile=False, safe_mode=True)
        # A tensor, or a list or dict of tensors. A freshly loaded Sequential model lacks `input`, and has just one.
        structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
        return lambda inputs: keras.tree.flatten(model(keras.tree.pack_sequence_as(structure, inputs), training=False))

    def signature(self, folder: Path) -> Any:
        import re

        import tensorflow as tf

        def ordered(names: Any) -> list[str]:  # a signature has no order, so sort by the numbers in its names
            return sorted(names, key=lambda name: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)])

        self.loaded = tf.saved_model.load(str(folder))
        signatures = dict(self.loaded.signatures)
        function = signatures.get("serving_default") or next(iter(signatures.values()))
        specs = function.structured_input_signature[1]
        names, outputs = ordered(specs), ordered(function.structured_outputs)
        self.batch = specs[names[0]].shape[0] or 1  # how many samples the graph takes at once

        def call(inputs: Any) -> Any:
            by_name = function(**dict(zip(names, inputs, strict=True)))
            return [by_name[name] for name in outputs]

        return call

    def prepare(self, inputs: list[np.ndarray]) -> Any:
        return [self.constant(each) for each in inputs]

    def run(self, native: Any) -> Any:
        return self.call(native)

    def outputs(self, native: Any) -> list[np.ndarray]:
        return [np.asarray(each) for each in native]
