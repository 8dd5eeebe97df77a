"""Whether `bitpick bench` claims what is so, and only that: equal builds, and builds that truly differ.

    python benchmarks/bench_honesty.py [--runs N] [--load N]

Times two copies of one file, which must not be called different, and an ONNX Runtime build beside its raw-graph twin,
which takes 1.3 times as long or more and must be called slower. `--load N` runs N busy processes beside the timing.
Prints how often each came out right; exits 1 where either was in fewer than 17 of 20.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bitpick import api

CLEAN, RAW = "onnxruntime:s8s8-per_tensor-minmax", "onnxruntime:s8s8-per_tensor-minmax+raw_graph"
SHARE = 17 / 20
DIFFERENT = ("faster", "slower")
SMALL = {"processes": 3, "pairs": 20}
# It ends with its standard input: none is left behind, however this script ends.
BUSY = "import os, threading; threading.Thread(target=lambda: (os.read(0, 1), os._exit(0))).start()\nwhile True: pass"


@contextmanager
def load(processes: int) -> Iterator[None]:
    """So many busy processes, until the block is left."""
    started = [subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def verdicts(first: Path, second: Path, runs: int, **options: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for _ in range(runs):
        row = api.bench(first, second, **options).rows[1]
        assert row.ratio is not None
        assert row.ratio_interval is not None
        low, high = row.ratio_interval
        print(
            f"  {row.ratio:.3f} ({low:.3f} to {high:.3f}; {row.ratio_wall:.3f} in wall time): {row.verdict}", flush=True
        )
        assert low <= row.ratio <= high, "the interval does not hold its own ratio"
        assert row.clock == "cpu", f"wall time decided: {row.clock_reason}"
        found[str(row.verdict)] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--load", type=int, default=0, help="busy processes beside the measurement")
    parser.add_argument("--smoke", action="store_true", help="one small run of each")
    asked = parser.parse_args()
    runs, options, samples = (1, SMALL, 100) if asked.smoke else (asked.runs, {}, 1000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for recipe, place in ((CLEAN, "clean"), (RAW, "raw")):
            api.quantize(api.bundled_model(), recipe, folder / place, calibration_size=samples)
        shutil.copytree(folder / "clean", folder / "copy")
        with load(asked.load):
            print(f"{asked.load} busy processes beside it\ntwo copies of one file:")
            same = verdicts(folder / "clean", folder / "copy", runs, **options)
            print("a build and its raw-graph twin:")
            other = verdicts(folder / "clean", folder / "raw", runs, **options)
    honest = runs - sum(same[verdict] for verdict in DIFFERENT)
    print(
        f"equal builds not called different: {honest} of {runs}; a slower build called so: {other['slower']} of {runs}"
    )
    if min(honest, other["slower"]) < SHARE * runs:
        sys.exit(1)


if __name__ == "__main__":
    main()
