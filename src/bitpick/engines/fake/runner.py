"""The fake engine's own arithmetic, in numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class Build:
    """The build: linear layers in NumPy."""

    packages = ("numpy",)
    batch = 1

    def __init__(self, folder: Path, files: list[str], settings: dict[str, str], threads: int) -> None:
        with np.load(folder / files[0]) as arrays:
            self.layers = [(arrays[f"weight{i}"], arrays[f"bias{i}"]) for i in range(len(arrays["names"]))]

    def prepare(self, inputs: list[np.ndarray]) -> Any:
        return inputs[0].reshape(1, -1)

    def run(self, native: Any) -> Any:
        for weight, bias in self.layers[:-1]:
            native = np.maximum(native @ weight + bias, 0)
        return native @ self.layers[-1][0] + self.layers[-1][1]

    def outputs(self, native: Any) -> list[np.ndarray]:
        return [native]
