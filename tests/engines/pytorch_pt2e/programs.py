"""A program of PyTorch that several tests of this folder run."""

from __future__ import annotations

from pathlib import Path


def write(path: Path, size: int | None) -> Path:
    """Save a program that takes its input by name and gives a dictionary, for so many samples; None for any number."""
    import torch

    class Net(torch.nn.Module):
        def forward(self, numbers: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"more": numbers + 1, "sums": numbers.sum(1, keepdim=True)}

    free = {"numbers": {0: torch.export.Dim("n")}} if size is None else None
    example = {"numbers": torch.zeros(size or 2, 4)}
    torch.export.save(torch.export.export(Net().eval(), (), example, dynamic_shapes=free), path)
    return path
