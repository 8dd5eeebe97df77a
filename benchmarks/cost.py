"""Where the CPU time of `bitpick compare` goes: row by row and step by step, without timing and with an empty store.

    python benchmarks/cost.py [--preset standard] [--smoke]

Runs the comparison on the bundled model and CIFAR-10, in a store of its own, and counts the CPU seconds of all its
processes. Each row's steps are those that run.json records; "outside the rows" is everything else: conversions and
their checks, shared calibrations, compilers that a build starts, and the start of workers. Exits 1 where a preset takes
more than its limit, or where the rows took longer than all processes together.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from overhead import children_seconds
from parts import pictures

LIMITS = {"basic": 45, "standard": 150, "full": 300}  # CPU seconds
WIDTH = 70


def compare(folder: Path, data: str, preset: str, count: int) -> tuple[dict[str, Any], float]:
    """Return run.json of a comparison without timing, and the CPU seconds of all its processes."""
    command = [sys.executable, "-m", "bitpick", "compare", "--data", data, "--calibration-size", str(count)]
    command += ["--preset", preset, "--no-bench", "--target", "host", "--accept-baseline", "--out", str(folder / "run")]
    before = children_seconds()
    store = {"BITPICK_STORE": str(folder / "store")}
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, env=os.environ | store)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return json.loads((folder / "run" / "run.json").read_text()), children_seconds() - before


def show(run: dict[str, Any], whole: float) -> float:
    """Print the CPU seconds of each row and each step, and return the sum of the rows."""
    steps: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    for row in run["rows"]:
        spent = row.get("cpu_seconds", {})
        steps.update(spent)
        rows[row["id"]] = sum(spent.values())
        told = ", ".join(f"{step} {seconds:.1f}" for step, seconds in spent.items())
        print(f"{row['id']:{WIDTH}}{rows[row['id']]:7.1f} s  {told or row['reason']}")
    for step, seconds in steps.most_common():
        print(f"{'all rows: ' + step:{WIDTH}}{seconds:7.1f} s")
    print(f"{'outside the rows':{WIDTH}}{whole - rows.total():7.1f} s")
    print(f"{'the whole command':{WIDTH}}{whole:7.1f} s")
    return rows.total()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=sorted(LIMITS), default="standard")
    parser.add_argument("--smoke", action="store_true", help="the preset basic, on a few random pictures")
    arguments = parser.parse_args()
    preset = "basic" if arguments.smoke else arguments.preset
    with tempfile.TemporaryDirectory() as name:
        data = str(pictures.write(Path(name) / "pictures")) if arguments.smoke else "cifar10"
        run, whole = compare(Path(name), data, preset, 100 if arguments.smoke else 1000)
    in_rows = show(run, whole)
    print(f"limit for {preset}: {LIMITS[preset]} s")
    return int(whole > LIMITS[preset] or not 0 < in_rows < whole)


if __name__ == "__main__":
    sys.exit(main())
