"""ONNX Runtime: static QDQ quantization by its own quantizer, on the CPU."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.data.dataset import Samples
from bitpick.engines.engine import CALIBRATION_BATCH, Build, Capability, Engine, Offer, Session, SessionSettings
from bitpick.host import Host
from bitpick.model import Format, Model
from bitpick.recipe import Recipe, baseline

_RAW = "raw_graph"
_REDUCED = "reduced_range"
_FILE = "model.onnx"


class OnnxRuntimeEngine(Engine):
    """Starts from the clean graph, or, with `+raw_graph`, from the one the converter wrote."""

    name = "onnxruntime"
    environment = "onnxruntime"
    packages = ("onnxruntime", "onnx")
    extra = "onnxruntime"
    accepts = (Format.ONNX,)
    runs = (Format.RAW_ONNX, Format.ONNX)
    capabilities = (
        Capability(("float32",), options={_RAW: "run the converter's own graph"}),
        Capability(
            ("s8s8", "s8u8", "u8u8"),
            granularities=("per_tensor", "per_channel"),
            calibrations=("minmax",),
            options={
                _RAW: "quantize the converter's own graph, without clean-up",
                _REDUCED: "7-bit weights, whose products do not saturate on CPUs without VNNI",
            },
        ),
    )

    def form(self, recipe: Recipe) -> tuple[Format, ...]:
        """See `Engine.form`."""
        return (Format.RAW_ONNX,) if _RAW in recipe.options else self.accepts

    def float_recipe(self, source: Format) -> Recipe | None:
        """See `Engine.float_recipe`; the converter's own graph has an option."""
        if source == Format.RAW_ONNX:
            return Recipe(engine=self.name, dtypes="float32", options={_RAW: ""})
        return super().float_recipe(source)

    def recipes(self, model: Model, host: Host) -> list[Offer]:  # noqa: ARG002 - the same on every model and host
        """See `Engine.recipes`."""
        published = frozenset({"reference", "full"})
        usual = frozenset({"basic", "standard", "full"})
        return [
            Offer(baseline(self.name), published | usual),
            *(
                Offer(Recipe.parse(f"{self.name}:{recipe}"), presets)
                for recipe, presets in (
                    ("s8s8-per_tensor-minmax+raw_graph", published),
                    ("u8u8-per_tensor-minmax+raw_graph", published),
                    ("s8s8-per_tensor-minmax", usual),
                    ("u8u8-per_tensor-minmax", usual),
                    ("s8u8-per_channel-minmax", usual),
                    ("s8u8-per_channel-minmax+reduced_range", usual),
                )
            ),
        ]

    def calibration_key(self, recipe: Recipe) -> str | None:
        """Ranges depend on the graph and the method alone."""
        return None if recipe.calibration is None else f"{self.form(recipe)[0]}-{recipe.calibration}"

    def calibrate(self, source: Path, recipe: Recipe, samples: Samples, out: Path) -> None:  # noqa: ARG002 - min-max only
        """See `Engine.calibrate`."""
        from onnxruntime.quantization import CalibrationMethod, create_calibrator, save_tensors_data

        augmented = out.with_suffix(".augmented.onnx")
        calibrator = create_calibrator(
            source, None, augmented_model_path=augmented, calibrate_method=CalibrationMethod.MinMax
        )
        calibrator.collect_data(_Reader(source, samples))
        save_tensors_data(calibrator.compute_data(), out)
        augmented.unlink()

    def build(self, source: Path, recipe: Recipe, samples: Samples, ranges: Path | None, folder: Path) -> Build:
        """See `Engine.build`."""
        if recipe.kind == "baseline":
            _copy(source, folder / _FILE)
            return Build(recipe, folder, (_FILE,))
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

        logging.getLogger().setLevel(
            logging.ERROR
        )  # it warns on the root logger, of graphs that are as clean as they get
        types = {"s8": QuantType.QInt8, "u8": QuantType.QUInt8}
        quantize_static(
            source,
            folder / _FILE,
            _Reader(source, samples),
            quant_format=QuantFormat.QDQ,
            activation_type=types[recipe.activations],
            weight_type=types[recipe.weights],
            per_channel=recipe.granularity == "per_channel",
            reduce_range=_REDUCED in recipe.options,
            calibrate_method=CalibrationMethod.MinMax,
            calibration_cache_path=ranges,
        )
        return Build(recipe, folder, (_FILE,))

    def open(self, build: Build, settings: SessionSettings) -> Session:
        """See `Engine.open`."""
        return _OnnxRuntimeSession(build.main, settings)


class _OnnxRuntimeSession(Session):
    def __init__(self, path: Path, settings: SessionSettings) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        source = self._session.get_inputs()[0]
        self._input = source.name
        self._fixed = source.shape[0] if source.shape and isinstance(source.shape[0], int) else None

    def prepare(self, batch: NDArray[np.float32]) -> tuple[int, list[NDArray[np.float32]]]:
        """The number of samples, and the batch in pieces of the size that the graph takes, the last one filled up."""
        if self._fixed is None:
            return len(batch), [batch]
        pieces = [batch[i : i + self._fixed] for i in range(0, len(batch), self._fixed)]
        pieces[-1] = np.concatenate([pieces[-1], np.repeat(batch[-1:], self._fixed - len(pieces[-1]), axis=0)])
        return len(batch), pieces

    def run(self, native: tuple[int, list[NDArray[np.float32]]]) -> tuple[int, list[Any]]:
        count, pieces = native
        return count, [self._session.run(None, {self._input: piece})[0] for piece in pieces]

    def scores(self, native: tuple[int, list[Any]]) -> NDArray[np.float32]:
        count, outputs = native
        whole = outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
        return np.asarray(whole[:count], dtype=np.float32)


def _copy(source: Path, out: Path) -> None:
    """Copy a model into one file, also where its weights are in others."""
    import onnx

    from bitpick.conversion.onnx_file import external_files

    if external_files(source):
        onnx.save(onnx.load(source), out)
    else:
        shutil.copyfile(source, out)


class _Reader:
    """Calibration batches in the form that the quantizer asks for. It is spent after one pass."""

    def __init__(self, source: Path, samples: Samples) -> None:
        import onnx

        graph = onnx.load(source, load_external_data=False).graph
        stored = {initializer.name for initializer in graph.initializer}
        self._input = next(value.name for value in graph.input if value.name not in stored)
        self._batches = samples.batches(CALIBRATION_BATCH)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {self._input: batch}
