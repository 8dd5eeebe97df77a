"""Virtual environments for programs that must not share one with bitpick, each with its pinned packages."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_CUDA = ("nvidia-", "cuda-", "triton")


class InstallError(Exception):
    """An environment could not be made; the message says why."""


def python_of(folder: Path, requirements: Sequence[str]) -> Path:
    """Return the Python of an environment, which is made unless it is there with these requirements.

    Nothing is downloaded where pip would bring CUDA, which is gigabytes and does nothing here: pip has to be pointed
    at PyTorch's wheels for CPUs.

    Args:
        folder: where it is, or goes.
        requirements: what to install, as pip writes it, with versions.

    Raises:
        InstallError: pip refused, or would bring CUDA.
    """
    python, made = folder / "bin" / "python", folder / "requirements.txt"
    wanted = "".join(f"{each}\n" for each in requirements)
    if made.exists() and made.read_text() == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    if subprocess.run([sys.executable, "-m", "venv", str(folder)], check=False, capture_output=True).returncode:
        raise InstallError("python -m venv failed")
    report = folder / "plan.json"
    _pip(python, "--dry-run", "--report", str(report), *requirements)
    names = [each["metadata"]["name"].lower().replace("_", "-") for each in json.loads(report.read_text())["install"]]
    if cuda := sorted(name for name in names if name.startswith(_CUDA)):
        raise InstallError(f"pip would bring CUDA ({cuda[0]} and {len(cuda) - 1} others)")
    _pip(python, *requirements)
    made.write_text(wanted)
    return python


def _pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        raise InstallError(errors[-1].removeprefix("ERROR: ") if errors else "pip failed")
