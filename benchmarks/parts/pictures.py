"""A small data set for `--smoke`: random pictures as large as CIFAR-10's, of random classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

CLASSES, SIDE = 10, 32


def write(folder: Path, calibration: int = 120, evaluation: int = 60) -> Path:
    """Write both splits, which bitpick reads by the name of the folder, and return it."""
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for name, count in (("train", calibration), ("test", evaluation)):
        images = rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
        np.savez(folder / f"{name}.npz", image=images, labels=rng.integers(0, CLASSES, count))
    return folder
