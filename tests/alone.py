"""A build's own `run.py`, in a process that has no bitpick."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_WITHOUT = """
import runpy, sys
sys.modules["bitpick"] = None  # whoever imports it fails
try:
    import bitpick
except ImportError:
    pass
else:
    sys.exit("bitpick can be imported")
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_py(build: Path, *arguments: str | Path, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run it with these arguments, isolated from the environment and from the directory it is started in."""
    command = [sys.executable, "-I", "-c", _WITHOUT, str(build / "run.py"), *map(str, arguments)]
    moved = {} if home is None else {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | moved)


def results(build: Path, samples: Path, out: Path) -> dict[str, Any]:
    """What it writes for samples."""
    done = run_py(build, samples, "--results", out)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())
