"""A build's own `run.py`, in a process that has no bitpick: in one of its own, or in one that runs several in turn."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

TIMEOUT = 300  # seconds
_WITHOUT = """
import runpy, sys
sys.modules["bitpick"] = None  # whoever imports it fails
try:
    import bitpick
except ImportError:
    pass
else:
    sys.exit("bitpick can be imported")
"""
_ONCE = """
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# What a program prints is its answer; what a library prints from C goes to standard error.
_IN_TURN = """
import contextlib, io, json, os, signal, traceback
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for line in sys.stdin:
    sys.argv, code = json.loads(line), 0
    out, err = io.StringIO(), io.StringIO()
    signal.alarm(int(os.environ["TIMEOUT"]))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except Exception:
            traceback.print_exc()
            code = 1
    signal.alarm(0)
    answers.write(json.dumps([code, out.getvalue(), err.getvalue()]) + chr(10))
    answers.flush()
"""


class Process:
    """A process that runs one `run.py` after the other: those of one runtime, which it imports once."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _WITHOUT + _IN_TURN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"TIMEOUT": str(TIMEOUT)},
        )

    def run_py(self, build: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """See `run_py`."""
        words = [str(build / "run.py"), *map(str, arguments)]
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise ChildProcessError(f"{words} ended its process: {signal.strsignal(-self._process.wait())}")
        return subprocess.CompletedProcess(words, *json.loads(answer))

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def run_py(build: Path, *arguments: str | Path, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run it with these arguments, isolated from the environment and from the directory it is started in."""
    command = [sys.executable, "-I", "-c", _WITHOUT + _ONCE, str(build / "run.py"), *map(str, arguments)]
    moved = {} if home is None else {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=os.environ | moved)


def results(build: Path, samples: Path, out: Path, process: Process | None = None) -> dict[str, Any]:
    """What it writes for samples."""
    done = (process.run_py if process else run_py)(build, samples, "--results", out)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())
