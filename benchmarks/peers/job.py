"""What the drivers of this folder share. Each runs in the environment of one peer, without bitpick.

    python DRIVER.py ALGORITHM BITS INPUTS OUT

INPUTS is a folder with the float network as `model.onnx` (inputs of shape (n, 32, 32, 3)), `model.pt` (a
`torch.fx.GraphModule`) and `model.tflite`, and with the calibration samples: `images.npy`, float32, and `labels.npy`.
OUT is a folder for what the peer saves. The last line printed is JSON: the name of the file that a runtime opens, those
of the files that ship, and the CPU seconds of quantization and of the whole process, imports too.
"""

from __future__ import annotations

import argparse
import json
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BATCH = 50


@dataclass(frozen=True)
class Job:
    """What to quantize.

    Attributes:
        algorithm: which of the driver's algorithms.
        bits: bits of the weights; activations have eight.
        inputs: the folder with the network and the calibration samples.
        out: the folder for what is saved.
    """

    algorithm: str
    bits: int
    inputs: Path
    out: Path

    def images(self) -> np.ndarray:
        """Return the calibration images, of shape (n, 32, 32, 3)."""
        return np.load(self.inputs / "images.npy")

    def labels(self) -> np.ndarray:
        """Return their classes, of shape (n,)."""
        return np.load(self.inputs / "labels.npy")

    def batches(self, size: int = BATCH) -> Iterator[np.ndarray]:
        """Yield the calibration images in batches."""
        images = self.images()
        for start in range(0, len(images), size):
            yield images[start : start + size]


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def run(quantize: Callable[[Job], tuple[str, ...]]) -> None:
    """Read the arguments, quantize, and print what it took.

    Args:
        quantize: does a job, and returns names of files: of the one that a runtime opens, and of those that ship.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("algorithm")
    parser.add_argument("bits", type=int)
    parser.add_argument("inputs", type=Path)
    parser.add_argument("out", type=Path)
    job = Job(**vars(parser.parse_args()))
    imported = cpu_seconds()
    opened, *shipped = quantize(job)
    whole = cpu_seconds()
    print(json.dumps({"opened": opened, "shipped": shipped, "seconds": whole - imported, "whole": whole}))
