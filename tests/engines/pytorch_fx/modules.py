"""A module of PyTorch that several tests of this folder quantize."""

from __future__ import annotations

from typing import Any


def two_layers(batch: int | None = None) -> Any:
    """A convolution with a ReLU, and a dense layer, as a `torch.fx.GraphModule`.

    Args:
        batch: how many samples it takes at once; None where any number will do.
    """
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 6, 3)
            self.relu = torch.nn.ReLU()
            self.dense = torch.nn.Linear(6 * 2 * 2, 4)

        def forward(self, x):
            return self.dense(torch.flatten(self.relu(self.conv(x)), 1))

    torch.manual_seed(0)
    found = torch.fx.symbolic_trace(Net().eval())
    found.onnx_inputs = [("x", (batch, 3, 4, 4), "float32")]  # as the importer says it
    return found
