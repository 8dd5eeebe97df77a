"""What bitpick costs beyond the bare work: CPU seconds of `compare --preset basic` and of a script without checks.

    python benchmarks/overhead.py [--pairs N]

Runs both in turn on the bundled model, counts the CPU seconds of all their children, checks that both made the same
builds, and prints the ratios. Exits 1 where the whole costs more than 2.0 times, or the evaluation more than 1.3 times,
what bare.py takes.
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
from pathlib import Path

import numpy as np

from bitpick.api import bundled_model
from bitpick.datasets.load import load
from bitpick.datasets.sampling import draw

WHOLE_LIMIT, EVALUATION_LIMIT = 2.0, 1.3
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"
)


def children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_bitpick(folder: Path) -> tuple[float, float, dict[str, int]]:
    """CPU seconds of the whole and of the evaluations, and what each build got right."""
    before = children_seconds()
    command = [
        sys.executable,
        "-m",
        "bitpick",
        "compare",
        "--preset",
        "basic",
        "--no-bench",
        "--target",
        "host",
        "--out",
        str(folder / "run"),
        "--json",
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rows = [row for row in json.loads(done.stdout)["rows"] if row["status"] == "ok"]
    evaluation = sum(row["cpu_seconds"]["evaluate"] for row in rows)
    return children_seconds() - before, evaluation, {row["id"]: row["accuracy"]["correct"] for row in rows}


def run_bare(folder: Path) -> tuple[float, float, dict[str, int]]:
    """The same of bare.py; its data lies ready, as it would for a script."""
    dataset = load("cifar10")
    drawn = draw(dataset, 1000, 0)
    np.save(folder / "calibration.npy", dataset.calibration.inputs[drawn.indices])
    np.save(folder / "images.npy", dataset.evaluation.inputs)
    np.save(folder / "labels.npy", dataset.evaluation.labels)
    before = children_seconds()
    evaluation, correct = 0.0, {}
    script = Path(__file__).with_name("bare.py")
    for runtime in ("keras", "onnxruntime", "pytorch"):
        command = [sys.executable, str(script), runtime, str(bundled_model()), str(folder)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | ONE_THREAD)
        told = json.loads(done.stdout.splitlines()[-1])
        evaluation += told["evaluation_seconds"]
        correct |= told["correct"]
    return children_seconds() - before, evaluation, correct


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3, help="how often each is run, in turn")
    pairs = parser.parse_args().pairs
    ratios: list[tuple[float, float]] = []
    for i in range(pairs):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            whole, evaluation, made = run_bitpick(Path(one))
            bare_whole, bare_evaluation, bare_made = run_bare(Path(other))
        if made.keys() != bare_made.keys():
            raise SystemExit(f"the two made different builds: {sorted(made.keys() ^ bare_made.keys())}")
        ratios.append((whole / bare_whole, evaluation / bare_evaluation))
        print(
            f"pair {i + 1}: bitpick {whole:.1f} s of CPU, of which {evaluation:.1f} s evaluation; "
            f"bare {bare_whole:.1f} s, {bare_evaluation:.1f} s; ratios {ratios[-1][0]:.2f}, {ratios[-1][1]:.2f}"
        )
        for name, hits in made.items():
            if abs(hits - bare_made[name]) > 0:
                print(f"  {name}: {hits} correct here, {bare_made[name]} bare")
    whole_ratio, evaluation_ratio = (statistics.median(column) for column in zip(*ratios, strict=True))
    print(f"whole run: {whole_ratio:.2f} times the bare script (limit {WHOLE_LIMIT})")
    print(f"evaluation: {evaluation_ratio:.2f} times the bare script (limit {EVALUATION_LIMIT})")
    return int(whole_ratio > WHOLE_LIMIT or evaluation_ratio > EVALUATION_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
