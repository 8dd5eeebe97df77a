"""CPU time of `import bitpick` and `bitpick --help` beyond a bare interpreter, and whether they load a framework.

    python benchmarks/startup.py [--smoke]

Runs each of the three in turn, several times, and prints the medians. Exits 1 where one takes 0.3 s more than bare
Python, or loads a framework. CPU time is what bitpick adds, however busy the machine is.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys

RUNS, SMOKE_RUNS = 15, 3
LIMIT = 0.3
COMMANDS = {
    "bare Python": [sys.executable, "-c", "pass"],
    "import bitpick": [sys.executable, "-c", "import bitpick"],
    "bitpick --help": [sys.executable, "-m", "bitpick", "--help"],
}
FRAMEWORKS = {"executorch", "keras", "onnxruntime", "openvino", "tensorflow", "torch"}


def children_seconds() -> float:
    """CPU seconds of the processes that this one has started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def frameworks(command: list[str]) -> set[str]:
    """Which frameworks a command imports."""
    told = subprocess.run([command[0], "-X", "importtime", *command[1:]], check=True, capture_output=True, text=True)
    return FRAMEWORKS & {line.rpartition("|")[2].strip().partition(".")[0] for line in told.stderr.splitlines()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help=f"{SMOKE_RUNS} runs of each, not {RUNS}")
    runs = SMOKE_RUNS if parser.parse_args().smoke else RUNS
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, command in COMMANDS.items():
            before = children_seconds()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(children_seconds() - before)
    bare = statistics.median(seconds["bare Python"])
    wrong = False
    for name, found in seconds.items():
        more = statistics.median(found) - bare
        loaded = frameworks(COMMANDS[name])
        wrong |= more > LIMIT or bool(loaded)
        print(
            f"{name:15}  median {statistics.median(found):.3f} s  {more:+.3f} s over bare Python; "
            f"frameworks: {', '.join(sorted(loaded)) or 'none'}"
        )
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
