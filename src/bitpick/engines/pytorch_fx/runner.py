"""TorchScript, on PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class Build:
    """The build, opened as TorchScript by PyTorch."""

    packages = ("torch",)

    def __init__(self, folder: Path, files: list[str], settings: dict[str, str], threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        if "torch.backends.quantized.engine" in settings:  # weights are packed for it when the file is loaded
            torch.backends.quantized.engine = settings["torch.backends.quantized.engine"]
        self.torch = torch
        load: Any = torch.jit.load
        extra = {"batch": ""}
        self.module = load(folder / files[0], _extra_files=extra).eval()
        self.batch = int(extra["batch"] or 1)  # how many samples the module takes at once

    def prepare(self, inputs: list[np.ndarray]) -> Any:
        return [self.torch.from_numpy(each) for each in inputs]

    def run(self, native: Any) -> Any:
        with self.torch.inference_mode():
            return self.module(*native)

    def outputs(self, native: Any) -> list[np.ndarray]:
        return [each.numpy() for each in (native if isinstance(native, (tuple, list)) else (native,))]
