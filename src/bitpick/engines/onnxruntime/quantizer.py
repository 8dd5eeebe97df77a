"""ONNX Runtime's own quantizer, configured by a recipe."""

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
from bitpick.engines import attention, spread
from bitpick.engines.batches import calibration_batches, calibration_size, pieces
from bitpick.engines.engine import CALIBRATION_BATCH
from bitpick.engines.onnxruntime import entropy
from bitpick.engines.onnxruntime.weights import WEIGHTED
from bitpick.models.model import sha256_of
from bitpick.preprocessing import Arrays
from bitpick.recipe import Recipe

QOPERATOR = "qoperator"
REDUCED = "reduced_range"
SYMMETRIC_ACTIVATIONS = "symmetric_activations"
SYMMETRIC_WEIGHTS = "symmetric_weights"
_BINS = 2048


def calibrate(source: Path, recipe: Recipe, samples: Samples, out: Path) -> None:
    """Write the activation ranges that a recipe's calibration method finds, except those of nodes left in float."""
    from onnxruntime.quantization import create_calibrator, save_tensors_data

    augmented = out.with_suffix(".augmented.onnx")
    method, options = _method(recipe)
    with _skipping(blown_up(source, samples)[1]):
        calibrator = create_calibrator(
            source, None, augmented_model_path=augmented, calibrate_method=method, extra_options=options
        )
    if recipe.calibration == "moving_average":
        ranges = _mean_ranges(calibrator, source, samples)
    else:
        reader = _Reader(source, samples)
        while reader.next_batch():
            calibrator.collect_data(reader)
        ranges = _entropy_ranges(calibrator) if recipe.calibration == "entropy" else calibrator.compute_data()
    save_tensors_data(ranges, out)
    augmented.unlink()


def _mean_ranges(calibrator: Any, source: Path, samples: Samples) -> Any:
    """Return the means of minima and maxima over groups of 50 samples, however many runs a group takes."""
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData

    reader, parts = _Reader(source, samples), []
    runs = max(1, CALIBRATION_BATCH // calibration_size(samples, reader.size, kept=True))
    while reader.next_batch(runs):
        calibrator.calibrate_tensors_range = None  # otherwise it merges the ranges
        calibrator.collect_data(reader)
        parts.append(calibrator.compute_data().data)
    means = {
        name: tuple(np.nanmean([part[name].range_value[end] for part in parts], axis=0) for end in (0, 1))
        for name in parts[0]
    }
    return TensorsData(CalibrationMethod.MinMax, means)


def _entropy_ranges(calibrator: Any) -> Any:
    """Return the ranges that the histograms of a calibrator give, see `entropy`."""
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData

    ranges = {}
    for name, (counts, edges, low, high, _) in calibrator.collector.get_histogram_dict().items():
        ranges[name] = (*entropy.least_divergent(counts, edges, float(low), float(high)), counts, edges)
    return TensorsData(CalibrationMethod.Entropy, ranges)


@contextmanager
def _skipping(tensors: frozenset[str]) -> Iterator[None]:
    """Make calibrators created inside skip some tensors: a histogram between infinities has no bins."""
    from onnxruntime.quantization.calibrate import CalibraterBase

    original = CalibraterBase.select_tensors_to_calibrate

    def select(self: Any, model: Any) -> tuple[set[str], Any]:
        names, infos = original(self, model)
        return names - tensors, infos

    CalibraterBase.select_tensors_to_calibrate = select
    try:
        yield
    finally:
        CalibraterBase.select_tensors_to_calibrate = original


def blown_up(source: Path, samples: Samples) -> tuple[list[str], frozenset[str]]:
    """Return the nodes of a graph that must stay in float, see `spread`, and the tensors that only these nodes use."""
    return _blown_up(source, sha256_of(source), samples)


@lru_cache(maxsize=4)
def _blown_up(source: Path, _: str, samples: Samples) -> tuple[list[str], frozenset[str]]:
    import onnx

    model = onnx.load(source)
    reader, spreads = _Reader(source, samples), spread.Spreads()
    batches = list(spread.batches(samples, reader.size))
    for batch in batches:
        spreads.add(zip(reader.names, batch, strict=True))
    for tensors in onnx_file.all_intermediates(model, batches):
        spreads.add(tensors)
    steps = _steps(model)
    in_float = spread.left_in_float(steps, spreads)
    others = {name for step in steps if step not in in_float for name in step.reads + step.writes}
    # Nodes of the user's own graph may have no name.
    return [step.name for step in in_float if step.name], frozenset(spreads.blown_up - (others - spreads.no_grid))


def attention_in(source: Path) -> list[str]:
    """Return the nodes of a graph that are attention, see `attention`."""
    import onnx

    graph = _steps(onnx.load(source, load_external_data=False))
    return [step.name for step in attention.steps(graph) if step.name]


def _steps(model: Any) -> list[spread.Step]:
    return [spread.Step(n.name, n.op_type, tuple(n.input), tuple(n.output)) for n in model.graph.node]


def nodes(source: Path) -> list[str]:
    """Return the names of a graph's nodes."""
    import onnx

    return [node.name for node in onnx.load(source, load_external_data=False).graph.node]


def layers(source: Path, recipe: Recipe) -> list[tuple[str, str]]:
    """Return names and types of the nodes that a recipe quantizes, without those that only pass quantized data on."""
    import onnx

    kinds = _quantized_types(recipe)
    graph = onnx.load(source, load_external_data=False).graph
    heads = attention_in(source) if recipe.static else []
    pairs = [(node.name, node.op_type) for node in graph.node if node.op_type in kinds and node.name not in heads]
    names = Counter(name for name, _ in pairs)
    return [(name, kind) for name, kind in pairs if name and names[name] == 1]  # other names are ambiguous


def _quantized_types(recipe: Recipe) -> set[str]:
    """Return the types of the nodes that a recipe quantizes."""
    from onnxruntime.quantization.operators.activation import QDQRemovableActivation
    from onnxruntime.quantization.operators.direct_q8 import QDQDirect8BitOp
    from onnxruntime.quantization.registry import IntegerOpsRegistry, QDQRegistry, QLinearOpsRegistry

    if recipe.activation_dtype == "float32":
        return set(WEIGHTED)
    if recipe.activation_dtype == "dynamic":
        return {*IntegerOpsRegistry, "Gemm"} - {"Transpose"}
    passing = {
        kind for kind, handler in QDQRegistry.items() if issubclass(handler, (QDQDirect8BitOp, QDQRemovableActivation))
    }
    # An average is rounded again, although on the grid of its input.
    return {*QLinearOpsRegistry, *QDQRegistry} - passing | {"AveragePool"}


def halve(source: Path, out: Path, exclude: Collection[str]) -> None:
    """Write a graph in half precision; inputs and outputs keep their dtypes."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True, node_block_list=list(exclude)), out)


def quantize(
    source: Path, recipe: Recipe, samples: Samples, ranges: Path | None, out: Path, exclude: Collection[str]
) -> None:
    """Quantize with the library's own static or dynamic quantizer."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    logging.getLogger().setLevel(logging.ERROR)  # it warns on the root logger even about clean graphs
    types = {"s8": QuantType.QInt8, "u8": QuantType.QUInt8}
    if recipe.activation_dtype == "dynamic":
        # The quantizer first replaces each Gemm by a MatMul with a new name.
        names = [*exclude, *(f"{name}_MatMul" for name in exclude)]
        quantize_dynamic(source, out, weight_type=types[recipe.weight_dtype], nodes_to_exclude=names)
        return
    norms = _norms(source)
    unnamed = {kind for name, kind in norms if not name}  # these can be excluded only by type
    quantize_static(
        source,
        out,
        _Reader(source, samples),
        quant_format=QuantFormat.QOperator if QOPERATOR in recipe.options else QuantFormat.QDQ,
        activation_type=types[recipe.activation_dtype],
        weight_type=types[recipe.weight_dtype],
        per_channel=recipe.granularity == "per_channel",
        reduce_range=REDUCED in recipe.options,
        calibrate_method=_method(recipe)[0],
        calibration_cache_path=ranges,
        op_types_to_quantize=sorted({*QLinearOpsRegistry, *QDQRegistry} - unnamed) if unnamed else None,
        nodes_to_exclude=[*exclude, *(name for name, _ in norms if name)],
        extra_options=_symmetry(recipe),
    )


def _norms(source: Path) -> list[tuple[str, str]]:
    """Return name and type of norms whose bias has several axes: the quantizer assumes one per channel (1.32)."""
    import onnx

    graph = onnx.load(source, load_external_data=False).graph
    axes = {each.name: len(each.dims) for each in graph.initializer}
    norms = (node for node in graph.node if node.op_type.endswith("Normalization") and len(node.input) > 2)
    return [(node.name, node.op_type) for node in norms if axes.get(node.input[2], 1) > 1]


def _method(recipe: Recipe) -> tuple[Any, dict[str, Any]]:
    """Return the quantizer's calibration method for a recipe, and the options that configure it."""
    from onnxruntime.quantization import CalibrationMethod

    assert recipe.calibration is not None
    if recipe.calibration in ("minmax", "moving_average"):
        return CalibrationMethod.MinMax, {}
    if recipe.calibration == "entropy":
        return CalibrationMethod.Entropy, {"num_bins": _BINS}
    percentile = float(recipe.calibration.removeprefix("percentile"))
    return CalibrationMethod.Percentile, {"num_bins": _BINS, "percentile": percentile, "symmetric": False}


def _symmetry(recipe: Recipe) -> dict[str, bool]:
    options = {}
    if SYMMETRIC_WEIGHTS in recipe.options:
        options["WeightSymmetric"] = True
    if SYMMETRIC_ACTIVATIONS in recipe.options:
        options["ActivationSymmetric"] = True
    return options


class _Reader:
    """A calibration data reader for the quantizer: yields the whole set once, or batch by batch."""

    def __init__(self, source: Path, samples: Samples) -> None:
        import onnx

        graph = onnx.load(source, load_external_data=False).graph
        stored = {initializer.name for initializer in graph.initializer}
        inputs = [value for value in graph.input if value.name not in stored]
        dims = inputs[0].type.tensor_type.shape.dim
        self.size = dims[0].dim_value if dims and dims[0].HasField("dim_value") else None
        self.names = [value.name for value in inputs]
        # A histogram keeps every activation of a call, and so does the runtime without optimizations.
        self._batches = calibration_batches(samples, self.size, kept=True)
        self._pieces: Iterator[Arrays] | None = None

    def next_batch(self, count: int = 1) -> bool:
        """Move on to the next `count` batches, after which `get_next` returns None; return whether any are left."""
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
