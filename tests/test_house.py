"""The house rules that no other tool checks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "bitpick"
FRAMEWORKS = (
    "torch", "tensorflow", "keras", "onnx", "onnxruntime", "openvino", "nncf", "pandas", "scipy", "matplotlib",
)  # fmt: skip
MODULES = sorted(
    ".".join(("bitpick", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
    for path in SOURCE.rglob("*.py")
    # What trains is made of PyTorch modules, and only the pass that trains imports it.
    if path.name != "__main__.py" and (path.parent.name != "training" or path.name == "__init__.py")
)


def loaded(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after running some code."""
    program = f"{code}\nimport json, sys; print(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import bitpick",
        "import sys; sys.argv[1:] = ['--help']\nfrom bitpick import cli\ntry: cli.main()\nexcept SystemExit: pass",
        "import bitpick.api; from bitpick.engines.registry import engines; assert engines()",
    ],
    ids=["import bitpick", "bitpick --help", "engine table"],
)
def test_no_framework_is_loaded_before_it_is_needed(code):
    assert loaded(code).isdisjoint(FRAMEWORKS)


def test_import_bitpick_alone_loads_nothing_of_others():
    assert loaded("import bitpick").isdisjoint({"numpy", "pydantic", "rich", "typer", "jinja2", "pooch", "yaml"})


def test_every_module_can_be_imported_without_any_framework():
    block = f"import sys\nfor name in {FRAMEWORKS!r}: sys.modules[name] = None\n"
    loaded(block + "\n".join(f"import {name}" for name in MODULES))


# Modules without a test of their own name, and where they are tested.
TESTED_ELSEWHERE = {
    "commands/model_options": "commands/test_models",
    "commands/run_options": "commands/test_making",
    "conversion/made": "conversion/test_onnx_maker",
    "engines/insides": "conformance",
    "passes/graph_pass": "passes/test_registry",
    "pipeline/job": "pipeline/test_schedule",
    "pipeline/listener": "comparison/test_compare",
    "schema/data": "comparison/test_compare",
    "schema/fingerprint": "measures/test_coverage",
    "schema/hop": "conversion/test_verify",
    "passes/tuning": "passes/test_adaround, passes/test_bias_correction",
    "schema/search": "searching/test_search",
    "schema/tuning": "pipeline/test_hops",
    "schema/judging": "pipeline/test_request, tasks/test_registry",
    "schema/other_groups": "schema/test_settings, diagnosis/test_request",
}


def test_tests_mirror_the_source():
    missing = []
    for path in SOURCE.rglob("*.py"):
        name = path.relative_to(SOURCE).with_suffix("")
        by_family = name.parts[:2] == ("conversion", "pytorch_operators") or name.name == "runner"
        if path.name.startswith("__") or by_family:
            continue
        test = ROOT / "tests" / name.parent / f"test_{name.name}.py"
        if test.exists() == (name.as_posix() in TESTED_ELSEWHERE):
            missing.append(name.as_posix())
    assert missing == []


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_file_is_one_room_with_one_purpose(path):
    assert len(path.read_text().splitlines()) <= 320


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md")), ids=str)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_nothing_private_is_in_the_repository():
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if names.returncode != 0:
        pytest.skip("this is no git checkout")
    for name in names.stdout.splitlines():
        assert not name.endswith((".h5", ".tflite")), name
        if name.endswith((".py", ".md", ".toml", ".jinja", "Makefile")) and name != "tests/test_house.py":
            assert "../shared" not in (ROOT / name).read_text(), name


def test_no_room_has_the_name_of_a_function_that_users_call():
    """A package that is imported somewhere hides what the package above it gives by the same name."""
    import bitpick

    assert [name for name in bitpick.__all__ if (SOURCE / name).is_dir()] == []
