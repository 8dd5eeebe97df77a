"""Whether `bitpick bench` claims what is so, and only that: equal builds, and builds that truly differ.

    python benchmarks/bench_honesty.py [--runs N]

Times two copies of one file, which must come out as "no difference shown" or "not resolvable on this machine", and an
ONNX Runtime build beside its raw-graph twin, which must be called slower. Prints how often each came out right; exits 1
where either was in fewer than 17 of 20.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from bitpick import api

CLEAN, RAW = "onnxruntime:s8s8-per_tensor-minmax", "onnxruntime:s8s8-per_tensor-minmax+raw_graph"
SHARE = 17 / 20
HONEST = {"no difference shown", "not resolvable on this machine"}


def verdicts(first: Path, second: Path, runs: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for _ in range(runs):
        row = api.bench(first, second).rows[1]
        assert row.ratio_interval is not None
        print(
            f"  {row.ratio:.3f} ({row.ratio_interval[0]:.3f} to {row.ratio_interval[1]:.3f}): {row.verdict}", flush=True
        )
        found[str(row.verdict)] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for recipe, place in ((CLEAN, "clean"), (RAW, "raw")):
            api.quantize(api.bundled_model(), recipe, folder / place)
        shutil.copytree(folder / "clean", folder / "copy")
        print("two copies of one file:")
        same = verdicts(folder / "clean", folder / "copy", runs)
        print("a build and its raw-graph twin:")
        other = verdicts(folder / "clean", folder / "raw", runs)
    honest = sum(same[verdict] for verdict in HONEST)
    print(
        f"equal builds not called different: {honest} of {runs}; a slower build called so: {other['slower']} of {runs}"
    )
    if min(honest, other["slower"]) < SHARE * runs:
        sys.exit(1)


if __name__ == "__main__":
    main()
