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
    if path.name != "__main__.py"
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
    "api/comparing": "test_cli, end_to_end",
    "api/builds": "test_cli",
    "schema/diagnosis": "schema/test_run",
    "api/diagnosing": "test_cli_diagnose",
    "commands/diagnosing": "test_cli_diagnose",
    "diagnosis/changes": "diagnosis/test_diagnose",
    "diagnosis/job": "diagnosis/test_diagnose",
    "models/code_file": "models/test_source",
    "commands/app": "test_cli",
    "commands/data_options": "test_cli_data",
    "commands/making": "test_cli",
    "commands/finished": "test_cli",
    "commands/printing": "test_cli",
    "api/runs": "test_cli, selection/test_gate",
    "pipeline/listener": "comparison/test_compare",
    "pipeline/plan": "comparison/test_compare",
    "pipeline/workshop": "comparison/test_compare",
    "pipeline/hops": "comparison/test_compare",
    "pipeline/trials": "comparison/test_compare, comparison/test_draws",
    "pipeline/trial": "comparison/test_compare, comparison/test_draws",
    "pipeline/builds": "test_cli",
    "pipeline/evaluating": "test_cli, comparison/test_compare_tasks",
    "pipeline/offers": "pipeline/test_request",
    "pipeline/job": "pipeline/test_schedule",
    "comparison/rows": "comparison/test_compare, comparison/test_targets",
    "speed/files": "test_cli",
    "executors/child": "executors/test_pool",
    "commands/caching": "test_cli",
    "commands/signatures": "schema/test_settings, test_cli_data",
    "commands/settings_options": "schema/test_settings",
    "commands/model_options": "test_cli_models",
    "commands/run_options": "test_cli",
    "api/caching": "test_cli",
    "passes/graph_pass": "passes/test_registry",
    "passes/graphs": "passes/test_equalize, passes/test_pool_as_mean",
    "schema/groups": "schema/test_settings",
    "schema/option": "schema/test_settings",
    "schema/other_groups": "schema/test_settings, diagnosis/test_request",
    "schema/margin": "pipeline/test_request",
    "artifacts/files": "artifacts/test_store",
    "artifacts/code": "pipeline/test_running",
    "artifacts/marks": "artifacts/test_store",
    "pipeline/prepare": "comparison/test_compare",
    "pipeline/float_model": "comparison/test_compare",
    "pipeline/forms": "comparison/test_compare, conformance/test_engines",
    "pipeline/inputs": "comparison/test_compare",
    "conversion/made": "conversion/test_onnx_maker",
    "conversion/onnx_writing": "conversion/test_onnx_unfused",
    "conversion/onnx_trial": "conversion/test_onnx_batch",
    "schema/robustness": "schema/test_run",
    "schema/hop": "conversion/test_verify",
    "speed/bench_job": "speed/test_bench",
    "speed/lanes": "speed/test_measuring, comparison/test_times",
    "conversion/hop": "conversion/test_route",
    "pipeline/making": "test_cli_models",
    "conversion/exported_maker": "conversion/test_formats",
    "conversion/exported_program": "conversion/test_formats",
    "conversion/keras_file": "conversion/test_formats, conformance",
    "conversion/keras_legacy": "conversion/test_formats",
    "conversion/litert_from_exported": "conversion/test_formats",
    "conversion/litert_from_saved_model": "conversion/test_formats",
    "conversion/objects": "conversion/test_formats",
    "conversion/onnx_from_exported": "conversion/test_formats",
    "conversion/onnx_from_saved_model": "conversion/test_formats",
    "conversion/pytorch_file": "conversion/test_formats",
    "conversion/saved_model_copy": "conversion/test_saved_model",
    "conversion/saved_model_maker": "conversion/test_formats",
    "targets/target": "comparison/test_targets",
    "version": "test_house",
    "models/user_code": "conversion/test_formats",
    "conversion/litert_from_keras": "conformance, end_to_end",
    "conversion/litert_from_pytorch": "conformance",
    "conversion/onnx_from_keras": "conformance, end_to_end",
    "datasets/assembling": "datasets/test_arrays, datasets/test_image_folder",
    "datasets/progress": "datasets/test_cifar10",
    "engines/capability": "conformance, pipeline/test_request",
    "engines/engine": "conformance, pipeline/test_request",
    "engines/executorch/engine": "conformance",
    "engines/insides": "conformance",
    "engines/litert/insides": "conformance",
    "engines/openvino/insides": "conformance",
    "engines/pytorch_fx/insides": "conformance",
    "engines/pytorch": "conformance",
    "engines/keras/engine": "conformance",
    "engines/litert/engine": "conformance",
    "engines/litert/ranges": "zoo/test_zoo",
    "engines/pt2e": "conformance",
    "engines/pytorch_pt2e/engine": "conformance",
    "engines/pytorch_fx/engine": "conformance",
    "engines/onnxruntime/quantizer": "engines/onnxruntime/test_engine",
    "engines/registry": "conformance",
    "pipeline/logs": "test_cli_failures",
    "schema/failure": "test_cli_failures",
    "schema/judging": "pipeline/test_request, tasks/test_registry",
    "reports/chart": "reports/test_charts",
    "reports/charted": "reports/test_charts, reports/test_measured",
    "reports/templating": "reports/test_html, reports/test_markdown, reports/test_notebook",
    "engines/executed": "measures/test_coverage, engines/onnxruntime/test_graph",
    "engines/aten_work": "engines/pytorch_fx/test_graph",
    "engines/litert/file": "engines/litert/test_work, engines/litert/test_graph",
    "engines/litert/nodes": "engines/litert/test_graph",
    "engines/onnxruntime/scope": "engines/onnxruntime/test_work, engines/onnxruntime/test_graph",
    "engines/onnxruntime/nodes": "engines/onnxruntime/test_work, engines/onnxruntime/test_graph",
    "executors/executor": "executors/test_inline",
    "models/interface": "pipeline/test_fit",
    "schema/evidence": "selection/test_judge, measures/test_fidelity",
    "schema/fingerprint": "measures/test_coverage",
    "schema/data": "comparison/test_compare",
    "schema/speed": "speed/test_bench",
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
