"""What workers do for `test_exported_batch`: writing programs of which the first axis is not the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def samples() -> np.ndarray:
    """Four samples of six steps of ten numbers."""
    return np.random.default_rng(0).normal(size=(4, 6, 10)).astype(np.float32)


def write(folder: str) -> None:
    """Write each program as `NAME.pt2`, and what its module gives for each sample alone as `NAME.npy`."""
    import torch
    from torch import nn
    from torch.utils import _pytree as pytree

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(60, 3)

        def forward(self, steps: torch.Tensor) -> torch.Tensor:
            return self.dense(steps.softmax(0).reshape(-1))

    class Scaled(Whole):
        def forward(self, steps: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
            return self.dense(steps.flatten(1)) * rate

    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(10, 3)

        def forward(self, steps: torch.Tensor) -> torch.Tensor:
            return self.dense(torch.relu(steps))[-1]

    class Second(First):
        def forward(self, steps: torch.Tensor) -> torch.Tensor:
            return self.dense(steps.cumsum(0))

    class Turned(First):
        def forward(self, steps: torch.Tensor) -> torch.Tensor:
            return self.dense(steps.cumsum(1)).movedim(1, 0)

    class Squeezed(Whole):
        def forward(self, steps: torch.Tensor) -> tuple[torch.Tensor, None, int]:
            return self.dense(steps.reshape(-1)), None, steps.shape[1]

    torch.manual_seed(0)
    x, rate = torch.from_numpy(samples()), torch.tensor(2.0)
    auto = torch.export.Dim.AUTO
    programs: dict[str, tuple[Any, tuple[torch.Tensor, ...], Any]] = {
        "whole": (Whole(), (x[0],), None),
        "scaled": (Scaled(), (x[:1], rate), None),
        "groups": (Scaled(), (x[:3], rate), None),
        "one": (First(), (x[:1].movedim(0, 1),), None),
        "three": (Second(), (x[:3].movedim(0, 1),), None),
        "free": (Second(), (x[:2].movedim(0, 1),), ({1: auto},)),
        "both_free": (First(), (x[:2].movedim(0, 1),), ({0: auto, 1: auto},)),
        "squeezed": (Squeezed(), (x[:1],), None),
        "turned": (Turned(), (x[:2],), ({0: auto},)),
        "branching": (_branching(First), (x[:2],), ({0: auto},)),
        "branching_one": (_branching(First), (x[:1],), None),
    }
    for name, (module, example, shapes) in programs.items():
        program = torch.export.export(module.eval(), example, dynamic_shapes=shapes)
        torch.export.save(program, Path(folder) / f"{name}.pt2")
        with torch.no_grad():
            given = [rate] * (len(example) - 1)
            alone = [pytree.tree_leaves(module(*_one(each, name), *given))[0].flatten() for each in x]
        np.save(Path(folder) / f"{name}.npy", torch.stack(alone).numpy())


def _branching(parent: Any) -> Any:
    """A module that chooses what to do by the sum of all that it is given."""
    import torch

    class Branching(parent):
        def forward(self, steps: torch.Tensor) -> torch.Tensor:
            rows = torch.cond(steps.sum() > 0, lambda each: each.relu(), lambda each: each.cumsum(1), (steps,))
            return self.dense(rows)

    return Branching()


_BATCHED = ("scaled", "groups", "squeezed", "turned", "branching", "branching_one")


def _one(sample: Any, name: str) -> tuple[Any]:
    if name == "whole":
        return (sample,)
    return (sample[None] if name in _BATCHED else sample[:, None],)


def run(source: str, inputs: list[str]) -> dict[str, Any]:
    """What a `.pt2` file takes, and computes for each sample of four."""
    import torch

    from bitpick.conversion import exported_program

    program = exported_program.load(Path(source))
    size = exported_program.fixed_batch(program)
    arrays = [torch.from_numpy(np.load(each)) for each in inputs]
    pieces = [[each[i : i + 1] for each in arrays] for i in range(4)] if size else [arrays]
    module = exported_program.module(program)
    found = [exported_program.arrays(module, piece)[0] for piece in pieces]
    return {
        "size": size,
        "names": [node.name for node in exported_program.user_inputs(program)],
        "shapes": [list(each.shape) for each in found],
        "found": np.concatenate(found).reshape(4, -1).tolist(),
    }
