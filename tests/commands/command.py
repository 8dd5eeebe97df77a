"""The command as its users meet it: what tests of commands share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests import forked

COMMAND = [sys.executable, "-m", "bitpick"]
READ_DATA = ("bench", "compare", "convert", "diagnose", "evaluate", "quantize")
PICTURES = ["--data", "../pictures.yaml"]
QUICK = ["--no-bench", "--target", "host", "--out", "run", "--json"]
GOOD_THEN_HANGING = ["--recipe", "fake:s8u8-per_channel-minmax", "--recipe", "fake:s8s8-per_tensor-minmax+hang"]


def environment(place: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(place.parent / "site"), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path, "COLUMNS": "120"}


def bitpick(place: Path, command: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    data = PICTURES if command in READ_DATA and "--data" not in arguments else []
    return forked.bitpick([command, *arguments, *data], place, environment(place))


def compare(place: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    timing = [] if "--bench-seconds" in arguments else ["--no-bench"]
    target = [] if "--target" in arguments else ["--target", "host"]
    return bitpick(place, "compare", "../linear.onnx", "--engine", "fake", *timing, *target, *arguments)


def rows_when(path: Path, count: int) -> list[dict]:
    """The rows of a run.json that is being written, once there are so many."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        rows = json.loads(path.read_text())["rows"] if path.exists() else []
        if len(rows) >= count:
            return rows
        time.sleep(0.05)
    raise AssertionError(f"no {count} rows after a minute")


def left_in(place: Path) -> list[str]:
    return sorted(str(p.relative_to(place)) for p in place.rglob("*"))
