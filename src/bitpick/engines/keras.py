"""Keras: the float32 baseline, as the model was trained."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from bitpick.data.dataset import Samples
from bitpick.engines.engine import Build, Engine, Offer, Session, SessionSettings
from bitpick.engines.graphs.executed import Executed, Operator
from bitpick.fingerprint import Grid
from bitpick.host import Host, installed_version
from bitpick.model import Format, Model
from bitpick.preprocessing import Arrays
from bitpick.recipe import PRESETS, Recipe, baseline

# One library under two names: the smaller distribution, for CPUs alone, exists only for x86-64 under Linux.
_TENSORFLOW = "tensorflow-cpu" if installed_version("tensorflow-cpu") else "tensorflow"


class KerasEngine(Engine):
    """Runs the user's own file; quantizes nothing."""

    name = "keras"
    environment = "keras"
    packages = ("keras", "tf2onnx", _TENSORFLOW)
    extra = "keras"
    accepts = (Format.KERAS,)
    runs = (Format.KERAS,)

    def recipes(self, model: Model, host: Host) -> list[Offer]:  # noqa: ARG002 - the same on every model and host
        """See `Engine.recipes`."""
        return [Offer(baseline(self.name), frozenset(PRESETS))]

    def build(
        self,
        source: Path,
        recipe: Recipe,
        samples: Samples,  # noqa: ARG002 - nothing to calibrate
        ranges: Path | None,  # noqa: ARG002
        folder: Path,
    ) -> Build:
        """See `Engine.build`."""
        name = f"model{source.suffix}"
        shutil.copyfile(source, folder / name)
        return Build(recipe, folder, (name,))

    def open(self, build: Build, settings: SessionSettings) -> Session:
        """See `Engine.open`."""
        return _KerasSession(build.main, settings)

    def inspect(self, build: Build, sample: Arrays) -> Executed:  # noqa: ARG002 - Keras tells without
        """See `Engine.inspect`: the layers, each in the dtype that its policy computes in."""
        from bitpick.conversion import keras_file

        model = keras_file.load(build.main)
        return Executed(
            tuple(
                Operator(
                    layer.name,
                    type(layer).__name__,
                    layer.compute_dtype,
                    Grid(dtype=layer.variable_dtype) if layer.weights else None,
                    Grid(dtype=layer.compute_dtype),
                    weights=layer.count_params(),
                )
                for layer in model.layers
            )
        )


class _KerasSession(Session):
    def __init__(self, path: Path, settings: SessionSettings) -> None:
        from bitpick.conversion import keras_file

        model = keras_file.load(path)
        import tensorflow as tf

        if (
            tf.config.threading.get_intra_op_parallelism_threads() == 0
        ):  # once TensorFlow has run, it refuses to be told
            with contextlib.suppress(RuntimeError):
                tf.config.threading.set_intra_op_parallelism_threads(settings.threads)
        self._constant = tf.constant
        call = keras_file.flat(model)
        self._call = tf.function(lambda inputs: call(*inputs), reduce_retracing=True)

    def prepare(self, batch: Arrays) -> Any:
        return [self._constant(each) for each in batch]

    def run(self, native: Any) -> Any:
        return self._call(native)

    def outputs(self, native: Any) -> Arrays:
        return tuple(np.asarray(each, dtype=np.float32) for each in native)
