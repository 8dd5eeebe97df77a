"""ONNX Runtime's own quantizer, told what a recipe says."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion import onnx_file
from bitpick.datasets.dataset import Samples
from bitpick.engines import spread
from bitpick.engines.batches import calibration_batches, calibration_size, pieces
from bitpick.engines.engine import CALIBRATION_BATCH
from bitpick.engines.onnxruntime.weights import WEIGHTED
from bitpick.models.model import sha256_of
from bitpick.preprocessing import Arrays
from bitpick.recipe import Recipe

QOPERATOR = "qoperator"
REDUCED = "reduced_range"
SYMMETRIC_ACTIVATIONS = "symmetric_activations"
SYMMETRIC_WEIGHTS = "symmetric_weights"
# At the quantizer's default of 128 bins its entropy method has one candidate, and gives minima and maxima.
_BINS = 2048


def calibrate(source: Path, recipe: Recipe, samples: Samples, out: Path) -> None:
    """Write the activation ranges that a recipe's calibration method finds, but for those of nodes left in float."""
    from onnxruntime.quantization import create_calibrator, save_tensors_data

    augmented = out.with_suffix(".augmented.onnx")
    method, options = _method(recipe)
    with _without(blown_up(source, samples)[1]):
        calibrator = create_calibrator(
            source, None, augmented_model_path=augmented, calibrate_method=method, extra_options=options
        )
    if recipe.calibration == "moving_average":
        found = _mean_ranges(calibrator, source, samples)
    else:
        reader = _Reader(source, samples)
        while reader.next_batch():
            calibrator.collect_data(reader)
        found = calibrator.compute_data()
    save_tensors_data(found, out)
    augmented.unlink()


def _mean_ranges(calibrator: Any, source: Path, samples: Samples) -> Any:
    """The means of the minima and of the maxima of 50 samples each, in however many runs these are seen."""
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData

    reader, parts = _Reader(source, samples), []
    runs = max(1, CALIBRATION_BATCH // calibration_size(samples, reader.size, kept=True))
    while reader.next_batch(runs):
        calibrator.calibrate_tensors_range = None  # else it merges them
        calibrator.collect_data(reader)
        parts.append(calibrator.compute_data().data)
    means = {
        name: tuple(np.nanmean([part[name].range_value[end] for part in parts], axis=0) for end in (0, 1))
        for name in parts[0]
    }
    return TensorsData(CalibrationMethod.MinMax, means)


@contextmanager
def _without(tensors: frozenset[str]) -> Iterator[None]:
    """Calibrators made here leave some tensors out: a histogram from one infinity to the other has no bins."""
    from onnxruntime.quantization.calibrate import CalibraterBase

    real = CalibraterBase.select_tensors_to_calibrate

    def selected(self: Any, model: Any) -> tuple[set[str], Any]:
        found, infos = real(self, model)
        return found - tensors, infos

    CalibraterBase.select_tensors_to_calibrate = selected
    try:
        yield
    finally:
        CalibraterBase.select_tensors_to_calibrate = real


def blown_up(source: Path, samples: Samples) -> tuple[list[str], frozenset[str]]:
    """The nodes of a graph that must stay in float, see `spread`, and the tensors that these alone have."""
    return _blown_up(source, sha256_of(source), samples)


@lru_cache(maxsize=4)
def _blown_up(source: Path, _: str, samples: Samples) -> tuple[list[str], frozenset[str]]:
    import onnx

    model = onnx.load(source)
    reader, found = _Reader(source, samples), spread.Spreads()
    looked_at = list(spread.batches(samples, reader.size))
    for batch in looked_at:
        found.add(zip(reader.names, batch, strict=True))
    for computed in onnx_file.all_intermediates(model, looked_at):
        found.add(computed)
    steps = [spread.Step(n.name, n.op_type, tuple(n.input), tuple(n.output)) for n in model.graph.node]
    left = spread.left_in_float(steps, found)
    others = {name for step in steps if step not in left for name in step.reads + step.writes}
    # The user's own nodes can be without a name.
    return [step.name for step in left if step.name], frozenset(found.blown_up - (others - found.no_grid))


def nodes(source: Path) -> list[str]:
    """The names of a graph's nodes."""
    import onnx

    return [node.name for node in onnx.load(source, load_external_data=False).graph.node]


def layers(source: Path, recipe: Recipe) -> list[tuple[str, str]]:
    """Names and types of the nodes that a recipe quantizes, without those that only pass on what is quantized."""
    import onnx

    kinds = _quantized(recipe)
    graph = onnx.load(source, load_external_data=False).graph
    found = [(node.name, node.op_type) for node in graph.node if node.op_type in kinds]
    names = Counter(name for name, _ in found)
    return [(name, kind) for name, kind in found if name and names[name] == 1]  # others cannot be named


def _quantized(recipe: Recipe) -> set[str]:
    """The types of the nodes that a recipe quantizes."""
    from onnxruntime.quantization.operators.activation import QDQRemovableActivation
    from onnxruntime.quantization.operators.direct_q8 import QDQDirect8BitOp
    from onnxruntime.quantization.registry import IntegerOpsRegistry, QDQRegistry, QLinearOpsRegistry

    if recipe.activations == "float32":
        return set(WEIGHTED)
    if recipe.activations == "dynamic":
        return {*IntegerOpsRegistry, "Gemm"} - {"Transpose"}
    passing = {
        kind for kind, made in QDQRegistry.items() if issubclass(made, (QDQDirect8BitOp, QDQRemovableActivation))
    }
    # An average is rounded again, though on the grid of what it is the average of.
    return {*QLinearOpsRegistry, *QDQRegistry} - passing | {"AveragePool"}


def halve(source: Path, out: Path, exclude: Collection[str]) -> None:
    """Write a graph in half precision, its input and output as they were."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True, node_block_list=list(exclude)), out)


def quantize(
    source: Path, recipe: Recipe, samples: Samples, ranges: Path | None, out: Path, exclude: Collection[str]
) -> None:
    """Quantize with the library's own static or dynamic quantizer."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    logging.getLogger().setLevel(logging.ERROR)  # it warns on the root logger, of graphs that are as clean as they get
    types = {"s8": QuantType.QInt8, "u8": QuantType.QUInt8}
    if recipe.activations == "dynamic":
        # It first makes a matrix product of each Gemm, with a name of its own.
        names = [*exclude, *(f"{name}_MatMul" for name in exclude)]
        quantize_dynamic(source, out, weight_type=types[recipe.weights], nodes_to_exclude=names)
        return
    norms = _norms(source)
    unnamed = {kind for name, kind in norms if not name}  # these can be left out by their type alone
    quantize_static(
        source,
        out,
        _Reader(source, samples),
        quant_format=QuantFormat.QOperator if QOPERATOR in recipe.options else QuantFormat.QDQ,
        activation_type=types[recipe.activations],
        weight_type=types[recipe.weights],
        per_channel=recipe.granularity == "per_channel",
        reduce_range=REDUCED in recipe.options,
        calibrate_method=_method(recipe)[0],
        calibration_cache_path=ranges,
        op_types_to_quantize=sorted({*QLinearOpsRegistry, *QDQRegistry} - unnamed) if unnamed else None,
        nodes_to_exclude=[*exclude, *(name for name, _ in norms if name)],
        extra_options=_symmetry(recipe),
    )


def _norms(source: Path) -> list[tuple[str, str]]:
    """Name and type of norms whose bias has several axes: the quantizer takes it for one a channel (1.32)."""
    import onnx

    graph = onnx.load(source, load_external_data=False).graph
    axes = {each.name: len(each.dims) for each in graph.initializer}
    norms = (node for node in graph.node if node.op_type.endswith("Normalization") and len(node.input) > 2)
    return [(node.name, node.op_type) for node in norms if axes.get(node.input[2], 1) > 1]


def _method(recipe: Recipe) -> tuple[Any, dict[str, Any]]:
    """The quantizer's calibration method for a recipe, and the options that make it what its name says."""
    from onnxruntime.quantization import CalibrationMethod

    assert recipe.calibration is not None
    if recipe.calibration in ("minmax", "moving_average"):
        return CalibrationMethod.MinMax, {}
    if recipe.calibration == "entropy":
        return CalibrationMethod.Entropy, {"num_bins": _BINS, "num_quantized_bins": 256}
    percentile = float(recipe.calibration.removeprefix("percentile"))
    return CalibrationMethod.Percentile, {"num_bins": _BINS, "percentile": percentile, "symmetric": False}


def _symmetry(recipe: Recipe) -> dict[str, bool]:
    found = {}
    if SYMMETRIC_WEIGHTS in recipe.options:
        found["WeightSymmetric"] = True
    if SYMMETRIC_ACTIVATIONS in recipe.options:
        found["ActivationSymmetric"] = True
    return found


class _Reader:
    """Calibration samples in the form that the quantizer asks for: of the whole set, or batch by batch; once."""

    def __init__(self, source: Path, samples: Samples) -> None:
        import onnx

        graph = onnx.load(source, load_external_data=False).graph
        stored = {initializer.name for initializer in graph.initializer}
        inputs = [value for value in graph.input if value.name not in stored]
        dims = inputs[0].type.tensor_type.shape.dim
        self.size = dims[0].dim_value if dims and dims[0].HasField("dim_value") else None
        self.names = [value.name for value in inputs]
        # A histogram keeps every activation of one call, and without optimisations so does the runtime.
        self._batches = calibration_batches(samples, self.size, kept=True)
        self._pieces: Iterator[Arrays] | None = None

    def next_batch(self, count: int = 1) -> bool:
        """Go to the next batch, or the next few, the end of which is then the end; whether there is one."""
        first = next(self._batches, None)
        if first is None:
            return False
        batches = chain([first], islice(self._batches, count - 1))
        self._pieces = (piece for batch in batches for piece in pieces(batch, self.size))
        return True

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        if self._pieces is None:
            self._pieces = (piece for batch in self._batches for piece in pieces(batch, self.size))
        piece = next(self._pieces, None)
        return None if piece is None else dict(zip(self.names, piece, strict=True))
