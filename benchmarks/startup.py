"""How long `import bitpick` and `bitpick --help` take beyond a bare interpreter, and whether they load a framework.

    python benchmarks/startup.py

Runs each of the three in turn, several times, and prints the medians. Exits 1 where one takes 0.3 s more than bare
Python.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 15
LIMIT = 0.3
COMMANDS = {
    "bare Python": [sys.executable, "-c", "pass"],
    "import bitpick": [sys.executable, "-c", "import bitpick"],
    "bitpick --help": [sys.executable, "-m", "bitpick", "--help"],
}


def main() -> int:
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(RUNS):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - began)
    bare = statistics.median(seconds["bare Python"])
    slow = False
    for name, found in seconds.items():
        more = statistics.median(found) - bare
        slow |= more > LIMIT
        print(f"{name:15}  median {statistics.median(found):.3f} s  {more:+.3f} s over bare Python")
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
