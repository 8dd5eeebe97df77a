"""No script can rot: each has a small form, and continuous integration runs all of them."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = [
    path.relative_to(ROOT).as_posix()
    for folder in ("benchmarks", "scripts", "training")
    for path in sorted((ROOT / folder).glob("*.py"))
]

pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").exists(), reason="no part of the source distribution")


def options(script: str) -> set[str]:
    """The options that a script's argument parser knows."""
    return {
        argument.value
        for call in ast.walk(ast.parse((ROOT / script).read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"
        for argument in call.args
        if isinstance(argument, ast.Constant)
    }


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_has_a_small_form(script):
    assert "--smoke" in options(script)


def test_continuous_integration_runs_the_small_form_of_every_script():
    assert "make smoke\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    if shutil.which("make") is None:
        pytest.skip("there is no make on the PATH")
    done = subprocess.run(["make", "--dry-run", "smoke"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(re.findall(r"python (\S+\.py) --smoke$", done.stdout, re.MULTILINE)) == sorted(SCRIPTS)
