"""Keras and TensorFlow: the float32 baseline, as the model was trained."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from bitpick.datasets.dataset import Samples
from bitpick.engines.batches import join, pieces
from bitpick.engines.capability import Offer
from bitpick.engines.engine import Build, Engine, Session, SessionSettings
from bitpick.engines.executed import Executed, Operator
from bitpick.models.model import Format, Model
from bitpick.models.source import Source
from bitpick.preprocessing import Arrays
from bitpick.recipe import PRESETS, Recipe, baseline
from bitpick.schema.fingerprint import Grid
from bitpick.targets.host import Host
from bitpick.version import installed_version

# One library, two distributions: the smaller, CPU-only one exists only for x86-64 Linux.
_TENSORFLOW = "tensorflow-cpu" if installed_version("tensorflow-cpu") else "tensorflow"
_SAVED_MODEL = "model/saved_model.pb"


class KerasEngine(Engine):
    """Runs the user's own file, saved again if Keras 2 wrote it; quantizes nothing."""

    name = "keras"
    environment = "keras"
    packages = ("keras", "tf2onnx", _TENSORFLOW)
    extra = "keras"
    accepts = (Format.KERAS, Format.SAVED_MODEL)
    runs = (Format.KERAS, Format.SAVED_MODEL)
    runner = "bitpick.engines.keras.runner"

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
        if source.is_dir():
            from bitpick.conversion import saved_model

            saved_model.write(source, folder / "model")
            files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
            return Build(recipe, folder, (_SAVED_MODEL, *(name for name in files if name != _SAVED_MODEL)))
        from bitpick.conversion import keras_file, keras_legacy, keras_precision

        if keras_legacy.is_legacy(source) or keras_precision.other_precisions(source):
            keras_file.load(source).save(folder / "model.keras")
            return Build(recipe, folder, ("model.keras",))
        name = f"model{source.suffix}"
        shutil.copyfile(source, folder / name)
        return Build(recipe, folder, (name,))

    def runs_code(self, build: Build) -> str:
        """See `Engine.runs_code`; of a Keras file, its Lambda layers can."""
        return Source(str(build.main.parent if build.files[0] == _SAVED_MODEL else build.main)).runs_code()

    def open(self, build: Build, settings: SessionSettings) -> Session:
        """See `Engine.open`."""
        return _KerasSession(build, settings)

    def inspect(self, build: Build, sample: Arrays) -> Executed:  # noqa: ARG002 - Keras needs no run
        """See `Engine.inspect`: the layers, each in the compute dtype of its policy.

        A SavedModel has no layers, so it counts as one operator.
        """
        from bitpick.conversion import keras_file, saved_model

        if build.files[0] == _SAVED_MODEL:
            weights = saved_model.load(build.main.parent).weights
            grid = Grid(dtype="float32")
            return Executed((Operator("model", "SavedModel", "float32", grid, grid, weights=weights),))
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
    def __init__(self, build: Build, settings: SessionSettings) -> None:
        from bitpick.conversion import keras_file, saved_model

        self._fixed_batch = None
        if build.files[0] == _SAVED_MODEL:
            self._model = saved_model.load(build.main.parent)
            call, self._fixed_batch = self._model.call, self._model.fixed_batch
        else:
            call = keras_file.flat(keras_file.load(build.main))
        import tensorflow as tf

        if (
            tf.config.threading.get_intra_op_parallelism_threads() == 0
        ):  # TensorFlow refuses the setting once it has run
            with contextlib.suppress(RuntimeError):
                tf.config.threading.set_intra_op_parallelism_threads(settings.threads)
        self._constant = tf.constant
        self._call = tf.function(lambda inputs: call(*inputs), reduce_retracing=True)

    def prepare(self, batch: Arrays) -> Any:
        return len(batch[0]), [[self._constant(each) for each in part] for part in pieces(batch, self._fixed_batch)]

    def run(self, native: Any) -> Any:
        count, parts = native
        return count, [self._call(part) for part in parts]

    def outputs(self, native: Any) -> Arrays:
        count, parts = native
        return join([tuple(np.asarray(each) for each in part) for part in parts], count, self._fixed_batch)
