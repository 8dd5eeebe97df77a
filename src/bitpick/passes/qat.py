"""QAT: train the weights for quantization, with the float network as the teacher and labels where there are some.

S. K. Esser, J. L. McKinstry, D. Bablani, R. Appuswamy, D. S. Modha, "Learned step size quantization", 2020, for the
weights; G. Hinton, O. Vinyals, J. Dean, "Distilling the knowledge in a neural network", 2015, for the teacher.
"""

from __future__ import annotations

from pathlib import Path

from bitpick.datasets.dataset import Samples
from bitpick.passes.graph_pass import Applied, GraphPass, Training
from bitpick.passes.weight_grid import WeightGrid

PASS = GraphPass(
    "qat",
    "trains the weights for quantization on the training split, with the float network as the teacher (QAT)",
    "bitpick.passes.qat:apply",
    stage="train",
    needs="training",
    environment="qat",
    packages=("torch",),
    extra="pytorch",
)


def apply(source: str, out: str, samples: Samples, grid: WeightGrid, training: Training) -> Applied:
    """Rewrite a graph; see `train`."""
    from bitpick.passes.training.loop import train

    return train(Path(source), Path(out), samples, grid, training)
