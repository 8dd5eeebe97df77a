"""What bitpick costs beyond the bare work: CPU seconds of `compare --preset basic` and of a script without checks.

    python benchmarks/overhead.py [--pairs N] [--smoke]

Runs both in turn on the bundled model and CIFAR-10, counts the CPU seconds of all their children, checks that both made
the same builds, and prints the ratios. Exits 1 where the whole costs more than 2.0 times, or the evaluation more than
1.3 times, what parts/bare.py takes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bitpick.api import bundled_model
from bitpick.datasets.dataset import Dataset
from bitpick.datasets.load import load
from bitpick.datasets.sampling import draw
from parts import pictures

WHOLE_LIMIT, EVALUATION_LIMIT = 2.0, 1.3
CALIBRATION, SMOKE_CALIBRATION = 1000, 100
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"
)


def children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def printed(command: list[str], variables: Mapping[str, str] | None = None) -> str:
    """What a command prints; where it fails, this ends with what it says."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | (variables or {}))
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def run_bitpick(folder: Path, data: str, count: int) -> tuple[float, float, dict[str, int]]:
    """CPU seconds of the whole and of the evaluations, and what each build got right."""
    before = children_seconds()
    options = ["--preset", "basic", "--no-bench", "--target", "host", "--accept-baseline", "--json"]
    command = [sys.executable, "-m", "bitpick", "compare", "--data", data, "--calibration-size", str(count), *options]
    store = {"BITPICK_STORE": str(folder / "store")}  # an empty one: nothing may be there already
    run = json.loads(printed([*command, "--out", str(folder / "run")], store))
    rows = [row for row in run["rows"] if row["status"] == "ok"]
    evaluation = sum(row["cpu_seconds"]["evaluate"] for row in rows)
    return children_seconds() - before, evaluation, {row["id"]: row["accuracy"]["correct"] for row in rows}


def run_bare(folder: Path, dataset: Dataset, count: int) -> tuple[float, float, dict[str, int]]:
    """The same of bare.py; its data lies ready, as it would for a script."""
    drawn = draw(dataset, count, 0)
    np.save(folder / "calibration.npy", dataset.calibration.inputs["image"][drawn.indices])
    np.save(folder / "images.npy", dataset.evaluation.inputs["image"])
    np.save(folder / "labels.npy", dataset.evaluation.labels)
    before = children_seconds()
    evaluation, correct = 0.0, {}
    script = Path(__file__).parent / "parts" / "bare.py"
    for runtime in ("keras", "onnxruntime", "pytorch"):
        command = [sys.executable, str(script), runtime, str(bundled_model()), str(folder)]
        told = json.loads(printed(command, ONE_THREAD).splitlines()[-1])
        evaluation += told["evaluation_seconds"]
        correct |= told["correct"]
    return children_seconds() - before, evaluation, correct


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3, help="how often each is run, in turn")
    parser.add_argument("--smoke", action="store_true", help="one pair, on a few random pictures")
    arguments = parser.parse_args()
    count = SMOKE_CALIBRATION if arguments.smoke else CALIBRATION
    ratios: list[tuple[float, float]] = []
    for i in range(1 if arguments.smoke else arguments.pairs):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            data = str(pictures.write(Path(one) / "pictures")) if arguments.smoke else "cifar10"
            whole, evaluation, made = run_bitpick(Path(one), data, count)
            bare_whole, bare_evaluation, bare_made = run_bare(Path(other), load(data), count)
        if made.keys() != bare_made.keys():
            raise SystemExit(f"the two made different builds: {sorted(made.keys() ^ bare_made.keys())}")
        ratios.append((whole / bare_whole, evaluation / bare_evaluation))
        print(
            f"pair {i + 1}: bitpick {whole:.1f} s of CPU, of which {evaluation:.1f} s evaluation; "
            f"bare {bare_whole:.1f} s, {bare_evaluation:.1f} s; ratios {ratios[-1][0]:.2f}, {ratios[-1][1]:.2f}"
        )
        for name, hits in made.items():
            if hits != bare_made[name]:
                print(f"  {name}: {hits} correct here, {bare_made[name]} bare")
    whole_ratio, evaluation_ratio = (statistics.median(column) for column in zip(*ratios, strict=True))
    print(f"whole run: {whole_ratio:.2f} times the bare script (limit {WHOLE_LIMIT})")
    print(f"evaluation: {evaluation_ratio:.2f} times the bare script (limit {EVALUATION_LIMIT})")
    return int(whole_ratio > WHOLE_LIMIT or evaluation_ratio > EVALUATION_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
