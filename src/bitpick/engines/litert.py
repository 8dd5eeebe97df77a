"""LiteRT (TensorFlow Lite), quantized by ai-edge-quantizer, on the CPU."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.data.dataset import Samples
from bitpick.engines.engine import (
    CALIBRATION_BATCH,
    Build,
    Capability,
    Engine,
    Offer,
    Session,
    SessionSettings,
    excluded,
)
from bitpick.engines.graphs import litert as graph
from bitpick.engines.graphs.executed import Executed
from bitpick.engines.graphs.litert_insides import LiteRtInsides
from bitpick.engines.insides import Insides
from bitpick.host import Host
from bitpick.model import Format, Model
from bitpick.recipe import Recipe, baseline

_INTEGER_IO = "integer_io"
_FILE = "model.tflite"


class LiteRtEngine(Engine):
    """Starts from the user's own Keras model where there is one, else from the PyTorch form."""

    name = "litert"
    environment = "litert"
    packages = ("ai-edge-litert", "ai-edge-quantizer")
    extra = "litert"
    accepts = (Format.LITERT,)
    runs = (Format.LITERT,)
    scopes = True
    optimizes = True
    capabilities = (
        Capability(("s8dynamic", "s8weights", "float16")),
        Capability(
            ("s8s8",),
            granularities=("per_channel",),
            calibrations=("minmax", "moving_average"),
            options={_INTEGER_IO: "8-bit input and output, all integer: what microcontrollers need"},
        ),
    )

    def recipes(self, model: Model, host: Host) -> list[Offer]:  # noqa: ARG002 - the same on every model and host
        """See `Engine.recipes`."""
        usual, full = frozenset({"standard", "full"}), frozenset({"full"})
        scheme = f"{self.name}:s8s8-per_channel-minmax"
        return [
            Offer(baseline(self.name), usual),
            Offer(Recipe.parse(scheme), usual),
            Offer(Recipe.parse(f"{scheme}+{_INTEGER_IO}"), usual),
            Offer(Recipe.parse(f"{self.name}:s8dynamic"), usual),
            Offer(Recipe.parse(f"{self.name}:s8s8-per_channel-moving_average"), full),
            Offer(Recipe.parse(f"{self.name}:s8s8-per_channel-moving_average+{_INTEGER_IO}"), full),
            Offer(Recipe.parse(f"{self.name}:s8weights"), full),
            Offer(Recipe.parse(f"{self.name}:float16"), full),
        ]

    def build(
        self,
        source: Path,
        recipe: Recipe,
        samples: Samples,
        ranges: Path | None,  # noqa: ARG002 - it collects its own
        folder: Path,
    ) -> Build:
        """See `Engine.build`."""
        if recipe.kind == "baseline":
            shutil.copyfile(source, folder / _FILE)
            return Build(recipe, folder, (_FILE,))
        from ai_edge_quantizer import algorithm_manager, qtyping, quantizer

        manager = _recipe_manager(recipe)
        for name in excluded(recipe, graph.names(source)) if recipe.exclude else ():
            manager.add_quantization_config(
                regex=f"(^|;){re.escape(name)}(;|$)",
                operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
                algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE,
            )
        work = quantizer.Quantizer(str(source), manager.get_quantization_recipe())
        found = _ranges(source, recipe, manager, samples) if work.need_calibration else None
        work.quantize(found).export_model(str(folder / _FILE))
        return Build(recipe, folder, (_FILE,))

    def layers(self, source: Path, recipe: Recipe) -> list[tuple[str, str]]:
        """See `Engine.layers`; without static scales only what has weights is quantized."""
        found = graph.layers(source).items()
        return [(name, layer.kind) for name, layer in found if layer.weight or recipe.static]

    def insides(self, floats: Build, build: Build) -> Insides:
        """See `Engine.insides`."""
        return LiteRtInsides(floats, build)

    def open(self, build: Build, settings: SessionSettings) -> Session:
        """See `Engine.open`."""
        return _LiteRtSession(build.main, settings)

    def inspect(self, build: Build, sample: NDArray[np.float32]) -> Executed:
        """See `Engine.inspect`."""
        session = _LiteRtSession(build.main, SessionSettings())
        session.run(session.prepare(sample))
        return graph.executed(session.interpreter)


def _recipe_manager(recipe: Recipe) -> Any:
    """The recipe in ai-edge-quantizer's own form."""
    from ai_edge_quantizer import algorithm_manager, qtyping, recipe_manager
    from ai_edge_quantizer import recipe as library

    manager = recipe_manager.RecipeManager()
    if recipe.dtypes == "s8dynamic":
        manager.load_quantization_recipe(library.dynamic_wi8_afp32())
    elif recipe.dtypes == "s8weights":
        manager.load_quantization_recipe(library.weight_only_wi8_afp32())
    elif recipe.dtypes == "float16":
        half = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
        manager.add_quantization_config(
            regex=".*",
            operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
            algorithm_key=algorithm_manager.AlgorithmName.FLOAT_CASTING,
            op_config=qtyping.OpQuantizationConfig(
                weight_tensor_config=half,
                compute_precision=qtyping.ComputePrecision.FLOAT,
                explicit_dequantize=True,
            ),
        )
    else:
        manager.load_quantization_recipe(library.static_wi8_ai8())
        if _INTEGER_IO not in recipe.options:
            for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
                manager.add_quantization_config(
                    regex=".*", operation_name=end, algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE
                )
    return manager


def _ranges(source: Path, recipe: Recipe, manager: Any, samples: Samples) -> Any:
    """The ranges of all tensors over the calibration set, sample by sample.

    The quantizer's own `calibrate` holds the whole set in memory, and knows moving averages alone: with 0.95 of the old
    and 0.05 of the new range at each sample, the last twenty samples decide.
    """
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import calibrator
    from ai_edge_quantizer.utils import qsv_utils

    signature, names = next(iter(Interpreter(model_path=str(source)).get_signature_list().items()))
    updates = {"minmax": qsv_utils.min_max_update, "moving_average": qsv_utils.moving_average_update}
    assert recipe.calibration is not None
    collector = calibrator.Calibrator(str(source), num_threads=1, qsv_update_func=updates[recipe.calibration])
    for batch in samples.batches(CALIBRATION_BATCH):
        one_by_one = [{names["inputs"][0]: batch[i : i + 1]} for i in range(len(batch))]
        collector.calibrate({signature: one_by_one}, manager)
    return collector.get_model_qsvs()


class _LiteRtSession(Session):
    def __init__(self, path: Path, settings: SessionSettings) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        kernels = OpResolverType.AUTO if settings.optimize else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self.interpreter = Interpreter(
            model_path=str(path), num_threads=settings.threads, experimental_op_resolver_type=kernels
        )
        self.interpreter.allocate_tensors()
        self._input = self.interpreter.get_input_details()[0]
        self._output = self.interpreter.get_output_details()[0]
        self._batch = int(self._input["shape"][0])

    def prepare(self, batch: NDArray[np.float32]) -> NDArray[Any]:
        """The batch in the input's dtype; an integer input has a scale and a zero point."""
        return graph.native(self._input, batch)

    def run(self, native: NDArray[Any]) -> NDArray[Any]:
        if native.shape[0] != self._batch:
            self.interpreter.resize_tensor_input(self._input["index"], native.shape)
            self.interpreter.allocate_tensors()
            self._batch = native.shape[0]
        self.interpreter.set_tensor(self._input["index"], native)
        self.interpreter.invoke()
        outputs: NDArray[Any] = self.interpreter.get_tensor(self._output["index"])
        return outputs

    def scores(self, native: NDArray[Any]) -> NDArray[np.float32]:
        if not np.issubdtype(native.dtype, np.integer):
            return native
        scale, zero_point = self._output["quantization"]
        return (native.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
