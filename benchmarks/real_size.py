"""Memory and CPU time of comparing a network of real size: MobileNet v2, on images of 224 × 224.

    python benchmarks/real_size.py [--engine NAME …] [--only rows|images] [--keep FOLDER] [--smoke]

`rows`: a `standard` comparison without timing, 200 calibration and 1,000 evaluation images in float32 arrays of 0.7 GB.
Exits 1 where a process takes more than 1.5 GB, the rows more than 450 CPU seconds, or the check of what a runtime's own
rewriting changes more than a tenth of a row.

`images`: one engine on 10,000 images in one float32 array of 6 GB. Exits 1 where all processes together take more than
4 GB.

Memory is what a process has beyond mapped files: resident anonymous and shared pages, looked at every 20 ms.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mobilenet
import numpy as np
import psutil

PROCESS_LIMIT, ALL_LIMIT = 1.5e9, 4e9  # bytes
ROWS_LIMIT = 450.0  # CPU seconds
CHECK_LIMIT = 0.1  # of a row
_INTERVAL = 0.02  # seconds
_LEARNED = 32  # images that the network's last layer is fitted to
_ENGINE = "onnxruntime"
_CHECK = "check_rewriting"


@dataclass
class Peaks:
    """The most memory that processes had, in bytes beyond mapped files."""

    each: dict[str, int] = field(default_factory=dict)
    together: int = 0


class Watch(threading.Thread):
    """Looks at the memory of a process and of all that it started, until it ends."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True)
        self.peaks = Peaks()
        self._process = process
        self._names: dict[int, str] = {}

    def run(self) -> None:
        parent = psutil.Process(self._process.pid)
        while self._process.poll() is None:
            total = 0
            with contextlib.suppress(psutil.Error):
                for each in (parent, *parent.children(recursive=True)):
                    with contextlib.suppress(psutil.Error, OSError):
                        used, name = anonymous(each), self._called(each)
                        total += used
                        self.peaks.each[name] = max(used, self.peaks.each.get(name, 0))
            self.peaks.together = max(self.peaks.together, total)
            threading.Event().wait(_INTERVAL)

    def _called(self, process: psutil.Process) -> str:
        """The worker's environment, which its log is named after; `bitpick` for the command itself."""
        if process.pid not in self._names:
            log = Path(f"/proc/{process.pid}/fd/2")
            worker = log.exists() and log.readlink().suffix == ".log"
            self._names[process.pid] = log.readlink().stem if worker else "bitpick"
        return self._names[process.pid]


def anonymous(process: psutil.Process) -> int:
    """Resident bytes of a process that are in no file."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return int(process.memory_full_info().uss)
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return sum(1024 * int(fields.get(name, "0 kB").split()[0]) for name in ("RssAnon", "RssShmem"))


def images(path: Path, count: int, side: int, seed: int) -> None:
    """Write an array of shape (count, 3, side, side), float32: patches of colour, and noise."""
    generator = np.random.default_rng(seed)
    out = np.lib.format.open_memmap(path, "w+", np.float32, (count, 3, side, side))
    for start in range(0, count, 50):
        size = min(50, count - start)
        patches = generator.normal(size=(size, 3, 7, 7)).astype(np.float32)
        whole = patches.repeat(side // 7, axis=2).repeat(side // 7, axis=3)
        out[start : start + size] = whole + 0.3 * generator.standard_normal(whole.shape, np.float32)
    out.flush()


def compare(model: Path, data: Path, folder: Path, options: list[str]) -> tuple[dict[str, Any], Peaks]:
    """Run a comparison without timing; returns the run and the memory that it took."""
    command = [sys.executable, "-m", "bitpick", "compare", str(model), "--data", str(data), "--json"]
    command += [
        "--no-bench",
        "--target",
        "host",
        "--task",
        "agreement",
        "--margin",
        "99%",
        "--out",
        str(folder / "run"),
        *options,
    ]
    with (folder / "run.out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, env=os.environ | {"BITPICK_CACHE": str(folder / "cache")})
        watch = Watch(process)
        watch.start()
        process.wait()
        watch.join()
    if process.returncode:
        sys.exit(f"bitpick compare ended with {process.returncode}")
    return json.loads((folder / "run.out").read_text()), watch.peaks


def rows(folder: Path, model: Path, counts: tuple[int, int], side: int, engines: list[str]) -> bool:
    """Compare every engine on two arrays of images; whether that is within the limits."""
    data = folder / "data"
    data.mkdir()
    for split, count in zip(("calibration", "evaluation"), counts, strict=True):
        images(data / f"{split}.npy", count, side, seed=len(split))
    size = sum(path.stat().st_size for path in data.iterdir())
    chosen = [text for name in engines for text in ("--engine", name)]
    run, peaks = compare(model, data, folder, ["--calibration-size", str(counts[0]), *chosen])
    print(f"\n{sum(counts):,} images in {size / 1e9:.2f} GB\n\n{'process':14} {'GB beyond the data':>20}")
    for name, used in sorted(peaks.each.items()):
        print(f"{name:14} {used / 1e9:20.2f}{'  OVER' if used > PROCESS_LIMIT else ''}")
    print(f"{'together':14} {peaks.together / 1e9:20.2f}")
    print(f"\n{'row':58} {'status':>11} {'CPU s':>7} {'check':>6}")
    total, within = 0.0, max(peaks.each.values()) <= PROCESS_LIMIT
    for row in run["rows"]:
        seconds = row.get("cpu_seconds") or {}
        own = sum(seconds.values())
        total += own
        share = seconds.get(_CHECK, 0.0) / own if own else 0.0
        within &= share <= CHECK_LIMIT
        told = f"{own:7.1f} {100 * share:5.1f}%" if own else ""
        print(f"{row['id']:58} {row['status']:>11} {told}{'  OVER' if share > CHECK_LIMIT else ''}")
        parts = ", ".join(f"{name} {spent:.1f}" for name, spent in seconds.items())
        print(f"  {parts or row.get('reason')}")
    print(f"{'all rows':58} {'':>11} {total:7.1f}{'  OVER' if total > ROWS_LIMIT else ''}")
    return within and total <= ROWS_LIMIT


def many(folder: Path, model: Path, count: int, side: int, engine: str) -> bool:
    """Compare one engine on one large array of images; whether that is within the limit."""
    images(folder / "images.npy", count, side, seed=0)
    size = (folder / "images.npy").stat().st_size
    _, peaks = compare(model, folder / "images.npy", folder, ["--engine", engine, "--preset", "basic"])
    print(f"\n{count:,} images in {size / 1e9:.2f} GB, with {engine}\n\n{'process':14} {'GB beyond the file':>20}")
    for name, used in sorted(peaks.each.items()):
        print(f"{name:14} {used / 1e9:20.2f}")
    print(f"{'together':14} {peaks.together / 1e9:20.2f}{'  OVER' if peaks.together > ALL_LIMIT else ''}")
    return peaks.together <= ALL_LIMIT


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", action="append", default=[], help="only this engine; repeat for more")
    parser.add_argument("--only", choices=("rows", "images"), help="only this part")
    parser.add_argument("--images", type=int, default=10_000, help="how many images the large array has")
    parser.add_argument("--folder", type=Path, help="where to work, and what to leave there; by default nothing stays")
    parser.add_argument("--smoke", action="store_true", help="a few small images and one engine: seconds")
    arguments = parser.parse_args()
    smoke = arguments.smoke
    side, counts, stages = (56, (16, 32), 3) if smoke else (224, (200, 1000), 7)
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        model = folder / "mobilenet_v2.onnx"
        images(folder / "learned.npy", _LEARNED, side, seed=1)
        count = mobilenet.write(model, np.load(folder / "learned.npy"), stages=stages)
        print(f"MobileNet v2{' (part of it)' if smoke else ''}, {count / 1e6:.1f} million parameters, {side} × {side}")
        within = True
        for part in ("rows", "images") if arguments.only is None else (arguments.only,):
            (folder / part).mkdir()
            if part == "rows":
                within &= rows(folder / part, model, counts, side, arguments.engine or ([_ENGINE] if smoke else []))
            else:
                within &= many(folder / part, model, 64 if smoke else arguments.images, side, _ENGINE)
    print(f"\n{'within' if within else 'OVER'} the limits")
    return int(not within)


if __name__ == "__main__":
    sys.exit(main())
