"""AdaRound: round each weight up or down so that the outputs of its layer stay close to those of the float network.

M. Nagel, R. A. Amjad, M. van Baalen, C. Louizos, T. Blankevoort, "Up or down? Adaptive rounding for post-training
quantization", 2020: the objective of section 3.3, the squared error of a layer's outputs with the inputs that it gets
from the layers rounded before it. That objective is a quadratic form of the second moments of the inputs, so here it is
minimized by coordinate descent instead of gradient descent on a relaxation: in seconds, and without randomness. The
mean error goes into the bias, as a part of the same minimum.
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
    "adaround",
    "rounds each weight up or down so that its layer's outputs stay close to the float network's (AdaRound)",
    "bitpick.passes.adaround:apply",
    stage="round",
    needs="calibration",
)
_ROUNDS = 20  # of coordinate descent; it usually converges in fewer
_DAMPING = 1e-6  # of the mean second moment, towards the float weights where samples say nothing about them


def apply(source: str, out: str, samples: Samples, grid: WeightGrid) -> Applied:
    """Rewrite a graph; see `tune`."""
    return tune(source, out, samples, grid, choose)


def choose(
    rows: NDArray[np.float64], scales: NDArray[np.float64], grid: WeightGrid, moments: Moments
) -> NDArray[np.float64]:
    """Round weights to minimize the squared error of the outputs.

    Args:
        rows: the weights, of shape (groups, channels, d).
        scales: the scale of each channel, of shape (groups, channels, 1).
        grid: the grid.
        moments: of the layer's inputs.
    """
    steps = np.where(scales > 0, scales, 1)
    lowest, highest = (end * scales for end in grid.ends(rows))
    low = np.clip(np.floor(rows / steps + 1e-9) * scales, lowest, highest)
    high = np.clip(np.ceil(rows / steps - 1e-9) * scales, lowest, highest)
    rounded = grid.nearest(rows, scales)
    # An engine finds the same grid again only if the largest weight of each channel stays on its end.
    largest = np.abs(rows) >= np.abs(rows).max(axis=(2 if grid.per_channel else (0, 1, 2)), keepdims=True)
    low, high = np.where(largest, rounded, low), np.where(largest, rounded, high)
    moments = moments.shrunk()
    damping = _DAMPING * np.trace(moments.second, axis1=1, axis2=2)[:, None, None] / rows.shape[2] + 1e-12
    second = moments.second + damping * np.eye(rows.shape[2])
    gradient = rows @ moments.mixed + damping * rows - rounded @ second
    diagonal = np.diagonal(second, axis1=1, axis2=2)
    for _ in range(_ROUNDS):
        before = rounded.copy()
        for place in range(rows.shape[2]):
            best = rounded[:, :, place] + gradient[:, :, place] / diagonal[:, None, place]
            down, up = low[:, :, place], high[:, :, place]
            new = np.where(best - down < up - best, down, up)
            change = new - rounded[:, :, place]
            if change.any():
                rounded[:, :, place] = new
                gradient -= change[:, :, None] * second[:, None, place, :]
        if np.array_equal(before, rounded):
            break
    return rounded
