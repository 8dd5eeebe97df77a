"""What passes that tune cost: CPU time and memory of AdaRound, by samples, by layers, and on a network of real size.

    python benchmarks/tuning.py [--smoke]

Exits 1 if AdaRound takes more than 60 CPU seconds on the bundled ResNet8, if twice the samples take much more than
twice the time, or if a MobileNet v2 (3.5 million parameters, images of 224 × 224, 1,000 samples) takes more than 20 CPU
minutes or 6 GB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bitpick.api import bundled_model
from parts import mobilenet

MOST_SECONDS, MOST_BYTES = 20 * 60, 6 * 10**9
RESNET_SECONDS = 60
SLACK = 1.5  # of the time that twice the samples take over twice the time
_CODE = """
import json, resource, sys, time
from pathlib import Path
from bitpick.datasets.dataset import Samples
from bitpick.passes import adaround
from bitpick.passes.weight_grid import WeightGrid
from bitpick.conversion import onnx_file

model, images, out, count = sys.argv[1:]
samples = Samples(inputs=(Path(images),), count=int(count), sha256="0")
activations = onnx_file.activations(Path(model), next(samples.head(1).batches(1)))
samples = samples.model_copy(update={"activations": activations})
began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
applied = adaround.apply(model, out, samples, WeightGrid.parse("127_per_channel"))
gain = sum(each.tuned - each.nearest for each in applied.tuned) / len(applied.tuned)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"seconds": time.process_time() - began, "bytes": peak, "layers": len(applied.tuned), "gain": gain}))
"""


@dataclass(frozen=True)
class Cost:
    """What tuning a network took.

    Attributes:
        seconds: CPU seconds.
        peak: resident bytes of the process, at most.
        layers: how many layers it tuned.
        gain: how much the signal-to-noise ratio of a layer's outputs rose on average, in decibels.
    """

    seconds: float
    peak: int
    layers: int
    gain: float

    def __str__(self) -> str:
        numbers = f"{self.seconds:.1f} CPU s, {self.peak / 1e9:.2f} GB, {self.layers} layers"
        return f"{numbers}, {self.gain:+.1f} dB a layer"


def tune(model: Path, images: Path, count: int, folder: Path) -> Cost:
    """Tune a network in a process of its own, on so many of the images."""
    arguments = [str(model), str(images), str(folder / "tuned.onnx"), str(count)]
    done = subprocess.run([sys.executable, "-c", _CODE, *arguments], capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout.splitlines()[-1])
    return Cost(measured["seconds"], measured["bytes"], measured["layers"], measured["gain"])


def images(path: Path, count: int, side: int, last: bool) -> Path:
    """Write pictures of soft blobs: shape (count, 3, side, side), or with the channels last."""
    generator = np.random.default_rng(0)
    shape = (count, side, side, 3) if last else (count, 3, side, side)
    array = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    for start in range(0, count, 50):
        small = generator.normal(0, 1, (min(50, count - start), 3, side // 8 + 1, side // 8 + 1))
        large = small.repeat(8, axis=2).repeat(8, axis=3)[:, :, :side, :side]
        array[start : start + 50] = np.moveaxis(large, 1, -1) * 60 + 120 if last else large
    array.flush()
    return path


def main() -> int:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="fewer samples, and a small part of MobileNet v2")
    smoke = parser.parse_args().smoke
    failures = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        count = 50 if smoke else 1000
        resnet, small = bundled_model().with_suffix(".onnx"), images(folder / "small.npy", count, 32, last=True)
        half, whole = (tune(resnet, small, samples, folder) for samples in (count // 2, count))
        print(f"ResNet8, {count // 2} samples: {half}")
        print(f"ResNet8, {count} samples: {whole}")
        if whole.seconds > RESNET_SECONDS:
            failures.append(f"ResNet8 took more than {RESNET_SECONDS} CPU seconds")
        if whole.seconds > 2 * SLACK * half.seconds:
            failures.append("twice the samples took more than twice the time")
        side, stages = (64, 2) if smoke else (224, 7)
        large = images(folder / "large.npy", 20 if smoke else 1000, side, last=False)
        costs = {}
        for part in (stages // 2 or 1, stages):
            model = folder / f"mobilenet_{part}.onnx"
            parameters = mobilenet.write(model, np.load(large, mmap_mode="r")[:20], 1000, part)
            costs[part] = tune(model, large, 20 if smoke else 1000, folder)
            print(f"MobileNet v2, {part} of 7 stages, {parameters / 1e6:.1f} million parameters: {costs[part]}")
        *_, last = costs.values()
        if last.seconds > MOST_SECONDS or last.peak > MOST_BYTES:
            failures.append("MobileNet v2 took more than 20 CPU minutes or 6 GB")
    for failure in failures:
        print(failure)
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
