"""Memory and CPU time of comparing a network of real size: MobileNet v2, on images of 224 × 224.

    python benchmarks/real_size.py [--engine NAME …] [--only rows|images] [--folder FOLDER] [--smoke]

`rows`: a `standard` comparison without timing, 200 calibration and 1,000 evaluation images in float32 arrays of 0.7 GB.
Exits 1 where a process takes more than 1.5 GB, the rows more than 450 CPU seconds, the check of what a runtime's own
rewriting changes more than a tenth of a row, or where no quantized row is ok.

`images`: a build of ONNX Runtime beside its float32, on 10,000 images in one float32 array of 6 GB.
Exits 1 where all processes together take more than 4 GB.

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

import numpy as np
import psutil

from parts import mobilenet


@dataclass(frozen=True)
class Case:
    """What is compared, and within which limits.

    Attributes:
        side: of the images, in pixels.
        stages: how many of the seven of MobileNet v2 the network has.
        calibration: how many images of the two arrays are to calibrate with.
        evaluation: and to evaluate on.
        many: how many images the one array has.
        process: bytes of any process.
        together: bytes of all processes, with the one array.
        seconds: CPU seconds of all rows.
        check: the largest share of a row that the check of its runtime's rewriting may take.
    """

    side: int = 224
    stages: int = 7
    calibration: int = 200
    evaluation: int = 1000
    many: int = 10_000
    process: float = 1.5e9
    together: float = 4e9
    seconds: float = 450
    check: float = 0.1


# Opening sessions takes longer than running so small a network.
SMOKE = Case(56, 3, 16, 100, 64, process=0.5e9, together=1e9, seconds=60, check=0.6)
_INTERVAL = 0.02  # seconds
_LEARNED = 32  # images that the network's last layer is fitted to
_ENGINE = "onnxruntime"
_RECIPE = f"{_ENGINE}:s8u8-per_channel-minmax+reduced_range"
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


def rows(folder: Path, model: Path, case: Case, engines: list[str]) -> bool:
    """Compare engines on two arrays of images; whether that is within the limits."""
    data = folder / "data"
    data.mkdir(parents=True)
    images(data / "calibration.npy", case.calibration, case.side, seed=1)
    images(data / "evaluation.npy", case.evaluation, case.side, seed=2)
    chosen = [text for name in engines for text in ("--engine", name)]
    run, peaks = compare(model, data, folder, ["--calibration-size", str(case.calibration), *chosen])
    print(f"\n{case.calibration + case.evaluation:,} images, {size(data)}")
    within = told(peaks, case.process)
    print(f"\n{'row':60} {'status':11} {'CPU s':>7} {'check':>6}")
    total, done = 0.0, 0
    for row in run["rows"]:
        seconds = row.get("cpu_seconds") or {}
        own = sum(seconds.values())
        share = seconds.get(_CHECK, 0.0) / own if own else 0.0
        total, done = total + own, done + (row["kind"] == "quantized" and row["status"] == "ok")
        within &= share <= case.check
        over = "  OVER" if share > case.check else ""
        print(f"{row['id']:60} {row['status']:11} {own:7.1f} {100 * share:5.1f}%{over}")
        print(f"    {', '.join(f'{name} {spent:.1f}' for name, spent in seconds.items()) or row['reason']}")
    print(f"{'all rows':60} {'':11} {total:7.1f}{'  OVER' if total > case.seconds else ''}")
    return within and total <= case.seconds and done > 0


def many(folder: Path, model: Path, case: Case) -> bool:
    """Compare a build with its float32 on one large array of images; whether that is within the limit."""
    folder.mkdir(parents=True)
    images(folder / "images.npy", case.many, case.side, seed=3)
    _, peaks = compare(model, folder / "images.npy", folder, ["--recipe", _RECIPE])
    print(f"\n{case.many:,} images in one array, {size(folder / 'images.npy')}, with {_ENGINE}")
    told(peaks)
    if peaks.together > case.together:
        print("together: OVER")
    return peaks.together <= case.together


def told(peaks: Peaks, limit: float = float("inf")) -> bool:
    """Print the memory of processes; whether each is within a limit."""
    print(f"\n{'process':14} {'GB beyond mapped files':>24}")
    for name, used in sorted(peaks.each.items()):
        print(f"{name:14} {used / 1e9:24.2f}{'  OVER' if used > limit else ''}")
    print(f"{'together':14} {peaks.together / 1e9:24.2f}")
    return max(peaks.each.values()) <= limit


def size(path: Path) -> str:
    """How large a file, or what is in a folder, is."""
    files = path.iterdir() if path.is_dir() else (path,)
    return f"{sum(file.stat().st_size for file in files) / 1e9:.2f} GB"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", action="append", default=[], help="only this engine; repeat for more")
    parser.add_argument("--only", choices=("rows", "images"), help="only this part")
    parser.add_argument("--folder", type=Path, help="a new folder to work in, which stays; by default nothing stays")
    parser.add_argument("--smoke", action="store_true", help="a few small images and one engine: seconds")
    arguments = parser.parse_args()
    case = SMOKE if arguments.smoke else Case()
    engines = arguments.engine or ([_ENGINE] if arguments.smoke else [])
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        model = folder / "mobilenet_v2.onnx"
        images(folder / "learned.npy", _LEARNED, case.side, seed=0)
        parameters = mobilenet.write(model, np.load(folder / "learned.npy"), stages=case.stages)
        print(f"MobileNet v2, {case.stages} of 7 stages, {parameters / 1e6:.1f} million parameters, {case.side} pixels")
        within = True
        if arguments.only in (None, "rows"):
            within &= rows(folder / "rows", model, case, engines)
        if arguments.only in (None, "images"):
            within &= many(folder / "images", model, case)
    print(f"\n{'within' if within else 'OVER'} the limits")
    return int(not within)


if __name__ == "__main__":
    sys.exit(main())
