"""PyTorch, of a package that was compiled ahead of time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class Build:
    """The build, a compiled package that PyTorch loads."""

    packages = ("torch",)
    batch = 1

    def __init__(self, folder: Path, files: list[str], settings: dict[str, str], threads: int) -> None:
        import torch
        from torch._inductor import aoti_load_package

        torch.set_num_threads(threads)
        self.torch = torch
        self.package = aoti_load_package(str(folder / files[0]))

    def prepare(self, inputs: list[np.ndarray]) -> Any:
        return [self.torch.from_numpy(each) for each in inputs]

    def run(self, native: Any) -> Any:
        with self.torch.inference_mode():
            return self.package(*native)

    def outputs(self, native: Any) -> list[np.ndarray]:
        return [each.numpy() for each in (native if isinstance(native, (tuple, list)) else (native,))]
