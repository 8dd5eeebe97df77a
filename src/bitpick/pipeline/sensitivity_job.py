"""Measure, in worker processes, how much each layer's rounded weights change a network's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import validate_call

from bitpick.conversion import onnx_file
from bitpick.datasets.dataset import Samples
from bitpick.engines.batches import pieces
from bitpick.models.onnx_traits import inputs_of
from bitpick.passes.graphs import Graph
from bitpick.passes.layers import Layer, layers
from bitpick.passes.weight_grid import WeightGrid

FUNCTIONS = __name__
GRIDS = (WeightGrid(7, per_channel=True, clipped=True), WeightGrid(127, per_channel=True))
"""The grids of four and of eight bits, whatever the engine."""
_TOGETHER = 50  # samples


@dataclass(frozen=True)
class Sensitivity:
    """How much a layer's rounded weights change a network's outputs, while the other layers keep theirs.

    Attributes:
        layer: the layer's name.
        weights: number of its weights.
        convolution: whether it is a convolution.
        depthwise: whether it convolves each input channel alone.
        errors: for each of `GRIDS`, the mean squared change of each output over its mean square, summed over outputs.
    """

    layer: str
    weights: int
    convolution: bool
    depthwise: bool
    errors: tuple[float, ...]


@validate_call
def sensitivities(source: Path, samples: Samples) -> list[Sensitivity]:
    """Round the weights of one layer after another to nearest, and run the network.

    Args:
        source: the clean graph.
        samples: the samples to run it on.
    """
    model = onnx_file.load(source)
    graph, network = Graph(model), _Network(model, samples)
    return [_of(layer, graph, network) for layer in layers(graph)]


def _of(layer: Layer, graph: Graph, network: _Network) -> Sensitivity:
    rows = layer.rows(graph)
    errors = []
    for grid in GRIDS:
        layer.store(graph, grid.nearest(rows, grid.scales(rows)))
        weights = graph.constant(layer.weights)
        assert weights is not None
        errors.append(network.error({layer.weights: weights}))
    layer.store(graph, rows)
    return Sensitivity(layer.name, rows.size, bool(layer.kernel), layer.is_depthwise(rows), tuple(errors))


class _Network:
    """A network whose weights can be replaced from one run to the next, with its outputs in float.

    Args:
        model: the network.
        samples: the samples to run it on.
    """

    def __init__(self, model: Any, samples: Samples) -> None:
        import onnx
        import onnxruntime as ort

        names = [value.name for value in inputs_of(model.graph)]
        fixed = onnx_file.fixed_batch(model)
        batches = samples.batches(fixed or samples.at_once(_TOGETHER))
        self._feeds = [dict(zip(names, part, strict=True)) for batch in batches for part in pieces(batch, fixed)]
        open_model = onnx.ModelProto()
        open_model.CopyFrom(model)
        stored = {each.name: each for each in model.graph.initializer}
        for layer in layers(Graph(model)):  # a stored tensor that is an input, too, can be replaced
            dims = stored[layer.weights].dims
            value = onnx.helper.make_tensor_value_info(layer.weights, onnx.TensorProto.FLOAT, dims)
            open_model.graph.input.append(value)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self._session = onnx_file.open_session(open_model, "the clean graph", options)
        self._floats = [self._run(feed) for feed in self._feeds]

    def _run(self, feed: dict[str, NDArray[Any]]) -> Sequence[NDArray[np.float64]]:
        outputs = self._session.run(None, feed)
        return [each.astype(np.float64) for each in outputs if np.issubdtype(each.dtype, np.floating)]

    def error(self, weights: dict[str, NDArray[Any]]) -> float:
        """Return the error of the outputs with other weights, see `Sensitivity`."""
        noise, signal = np.zeros(len(self._floats[0])), np.zeros(len(self._floats[0]))
        for feed, floats in zip(self._feeds, self._floats, strict=True):
            changed = self._run(feed | weights)
            noise += [np.square(a - b).sum() for a, b in zip(changed, floats, strict=True)]
            signal += [np.square(each).sum() for each in floats]
        ratio = np.nan_to_num(noise / np.maximum(signal, 1e-30), nan=np.inf)
        return float(ratio.sum())
