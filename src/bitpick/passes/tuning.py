"""Tune the layers of a network one after another so that their outputs survive the rounding of the weights.

Each layer is tuned on the inputs that it gets from the layers rounded before it, with its output in the float network
as the target, on calibration samples and without labels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets.dataset import Samples
from bitpick.passes.graph_pass import Applied, Tuned
from bitpick.passes.graphs import Graph
from bitpick.passes.layers import layers
from bitpick.passes.moments import Moments
from bitpick.passes.walk import Walk
from bitpick.passes.weight_grid import WeightGrid

Choose = Callable[[NDArray[np.float64], NDArray[np.float64], WeightGrid, Moments], NDArray[np.float64]]
"""Chooses values of the grid for weights of shape (groups, channels, d), with scales of shape (groups, channels, 1)."""


def tune(source: str, out: str, samples: Samples, grid: WeightGrid, choose: Choose) -> Applied:
    """Round the weights of a graph, and take the mean error of each output channel off its bias.

    Args:
        source: the `.onnx` file to read.
        out: the `.onnx` file to write.
        samples: the calibration samples.
        grid: the grid of the engine's quantizer.
        choose: rounds the weights of a layer.
    """
    import onnx

    from bitpick.conversion import onnx_file

    model = onnx_file.load(Path(source))
    walk = Walk(model, samples)
    changed = []
    for layer in layers(Graph(model)):
        rows = layer.rows(walk.rounded)
        own_grid = grid.of(layer.name, bool(layer.kernel), layer.is_depthwise(rows))
        if own_grid is None:
            continue
        moments = Moments.of(layer, rows.shape[1], walk.inputs(layer))
        if not np.isfinite(moments.second).all() or not np.isfinite(moments.float_second).all():
            continue  # its inputs are masks, or as wide as masks: nothing can be learned from them
        grouped = rows.reshape(layer.groups, -1, rows.shape[1])
        scales = own_grid.scales(rows).reshape(layer.groups, -1, 1)
        used = moments if layer.bias is None else moments.centred()
        rounded = choose(grouped, scales, own_grid, used)
        layer.store(walk.rounded, rounded.reshape(rows.shape))
        if layer.bias is not None:
            error = grouped @ np.swapaxes(moments.mean, 1, 2) - rounded @ np.swapaxes(moments.rounded_mean, 1, 2)
            layer.add_to_bias(walk.rounded, error.reshape(-1))
        nearest = own_grid.nearest(grouped, scales)
        changed.append(Tuned(layer.name, _decibels(grouped, nearest, used), _decibels(grouped, rounded, used)))
    onnx.save(walk.rounded.model, out)
    return Applied([each.layer for each in changed], "it has no layer with weights to round", changed)


def _decibels(rows: NDArray[np.float64], rounded: NDArray[np.float64], moments: Moments) -> float:
    """Return the signal-to-quantization-noise ratio of a layer's outputs."""
    signal = _inner(rows, moments.float_second, rows)
    noise = _inner(rounded, moments.second, rounded) - 2 * _inner(rows, moments.mixed, rounded) + signal
    return float(10 * np.log10(max(signal, 1e-30) / max(noise, 1e-30)))


def _inner(left: NDArray[np.float64], middle: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    return float(((left @ middle) * right).sum())
