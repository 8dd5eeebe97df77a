"""Bias correction: take the mean error that rounded weights cause in each output channel off its bias.

M. Nagel, M. van Baalen, T. Blankevoort, M. Welling, "Data-free quantization through weight equalization and bias
correction", 2019, section 4.2, with means measured on calibration samples. Each layer is measured on the inputs that it
gets from the layers corrected before it. The weights are stored as their engine will round them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets.dataset import Samples
from bitpick.passes.graph_pass import Applied, GraphPass
from bitpick.passes.moments import Moments
from bitpick.passes.tuning import tune
from bitpick.passes.weight_grid import WeightGrid

PASS = GraphPass(
    "bias_correction",
    "takes the mean error that rounded weights cause in each output channel off its bias",
    "bitpick.passes.bias_correction:apply",
    stage="correct",
    needs="calibration",
)


def apply(source: str, out: str, samples: Samples, grid: WeightGrid) -> Applied:
    """Rewrite a graph; see `tune`."""
    return tune(source, out, samples, grid, _nearest)


def _nearest(
    rows: NDArray[np.float64],
    scales: NDArray[np.float64],
    grid: WeightGrid,
    moments: Moments,  # noqa: ARG001 - only their means matter, for the bias
) -> NDArray[np.float64]:
    return grid.nearest(rows, scales)
