"""A folder of pictures: how long it takes to load the first and the second time, and how much memory either needs.

    python benchmarks/image_folder.py --pictures 50000 --side 224
    python benchmarks/image_folder.py --smoke

Writes so many JPEG files of a larger size into a temporary folder, and reads them in fresh processes with a cache of
their own: the first decodes them, the second finds them decoded, and both then read every sample, batch by batch. Exits
1 where a picture is missing, the second time is not faster, or memory grows by more than half of the decoded pictures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

KINDS = 64  # different pictures; the others are copies, as drawing takes longer than decoding

READ = """
import json, resource, sys, time
from bitpick.datasets.load import load
from bitpick.models.model import Signature, Tensor

folder, side = sys.argv[1], int(sys.argv[2])
model = Signature((Tensor("image", (side, side, 3)),), (Tensor("scores", (10,)),))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
found = load(folder, model)
loaded = time.perf_counter() - start
sets = [found.samples(split) for split in (found.calibration, found.evaluation)]
count = sum(len(batch) for each in sets for batch, in each.batches(10))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": loaded, "count": count, "growth": 1024 * (after - before)}))
"""


def write(folder: Path, count: int, side: int) -> None:
    rng = np.random.default_rng(0)
    kinds = []
    for number in range(KINDS):
        small = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        path = folder / f"kind-{number}.jpg"
        Image.fromarray(small).resize((side * 4 // 3, side), Image.Resampling.BICUBIC).save(path, quality=90)
        kinds.append(path.read_bytes())
        path.unlink()
    for number in range(count):
        place = folder / f"class-{number % 10}"
        place.mkdir(exist_ok=True)
        (place / f"{number:06}.jpg").write_bytes(kinds[number % KINDS])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--side", type=int, default=224, help="of the model's input")
    parser.add_argument("--stored", type=int, default=375, help="the shorter side of the files")
    parser.add_argument("--smoke", action="store_true", help="300 small pictures; memory has no limit then")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.pictures, arguments.side, arguments.stored = 300, 32, 96
    seconds, wrong = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "photos"
        folder.mkdir()
        start = time.perf_counter()
        write(folder, arguments.pictures, arguments.stored)
        print(f"{arguments.pictures:,} JPEG files written in {time.perf_counter() - start:.1f} s")
        environment = os.environ | {"BITPICK_CACHE": str(Path(name) / "cache")}
        command = [sys.executable, "-c", READ, str(folder), str(arguments.side)]
        decoded = arguments.pictures * arguments.side**2 * 3
        for turn in ("first", "second"):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            told = json.loads(done.stdout)
            print(
                f"{turn} time: {told['seconds']:7.2f} s to load {told['count']:,} samples, "
                f"{told['count'] / told['seconds']:,.0f} a second; memory grew by {told['growth'] / 2**20:.0f} MiB "
                f"(the decoded pictures have {decoded / 2**20:,.0f} MiB)",
                flush=True,
            )
            seconds.append(told["seconds"])
            if told["count"] != arguments.pictures:
                wrong.append(f"the {turn} time there were {told['count']} samples of {arguments.pictures} pictures")
            if told["growth"] > decoded / 2 and not arguments.smoke:
                wrong.append(f"the {turn} time memory grew by more than half of the decoded pictures")
    if seconds[1] > seconds[0]:
        wrong.append("the second time was not faster")
    sys.exit("; ".join(wrong) or None)


if __name__ == "__main__":
    main()
