from __future__ import annotations

import json

import pytest

from tests import alone
from tests.commands.command import (
    bitpick,
    compare,
)

pytestmark = pytest.mark.frameworks


def test_report_is_written_again_from_run_json(place):
    compare(place, "--out", "run")
    before = {name: (place / "run" / name).read_text() for name in ("report.md", "report.html")}
    for name in before:
        (place / "run" / name).unlink()
    assert bitpick(place, "report", "run").returncode == 0
    assert {name: (place / "run" / name).read_text() for name in before} == before


def test_results_from_a_device_come_back_as_rows(place):
    recipe = "onnxruntime:s8u8-per_channel-minmax"
    engines = ("compare", "../linear.onnx", "--recipe", recipe, "--target", "host", "--no-bench", "--out", "run")
    assert bitpick(place, *engines).returncode == 0
    given = bitpick(place, "samples", "run", "--out", "samples", "--count", 30, "--json")
    assert given.returncode == 0, given.stderr
    assert json.loads(given.stdout)["files"] == sorted(path.name for path in (place / "samples").iterdir())
    build = place / "run" / "builds" / "onnxruntime__s8u8-per_channel-minmax"
    alone.results(build, place / "samples", place / "results.json")
    merged = bitpick(place, "merge", "run", "results.json", "--target", "my-phone", "--json")
    assert merged.returncode == 0, merged.stderr
    row = next(each for each in json.loads(merged.stdout)["rows"] if each["id"] == f"{recipe}@my-phone")
    assert (row["measured"], row["samples"], row["device"]["runs"]) == ("imported", 30, 100)
    assert row["versus_native"]["flips"] == 0
    wrong = bitpick(place, "merge", "run", "results.json", "--target", "host")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("bitpick: --target is 'host'")
    assert bitpick(place, "compare", *engines[1:], "--json").returncode == 0
    assert f"{recipe}@my-phone" in (place / "run" / "run.json").read_text()


@pytest.mark.data
@pytest.mark.usefixtures("cifar10")
def test_engines_and_data_have_json(place):
    table = json.loads(bitpick(place, "engines", "--json").stdout)
    assert [row["name"] for row in table] == [
        "executorch", "fake", "keras", "litert", "onnxruntime", "openvino", "pytorch_fx", "pytorch_pt2e",
    ]  # fmt: skip
    told = json.loads(bitpick(place, "data", "cifar10", "--json").stdout)
    assert (told["calibration"], told["evaluation"]) == (50_000, 10_000)


def test_a_gate_passes_or_fails_with_a_line_a_rule(place):
    assert compare(place, "--out", "run", "--margin", "20", "--target", "host").returncode == 0
    passed = bitpick(place, "gate", "run", "--max-drop", 20, "--noninferior", "--min-coverage", 1)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert [line.split()[0] for line in passed.stdout.splitlines()] == ["ok"] * 3
    failed = bitpick(place, "gate", "run", "--max-size", 0.001, "--max-drop", 20, "--junit", "gate.xml", "--json")
    assert failed.returncode == 1
    assert {check["rule"]: check["passed"] for check in json.loads(failed.stdout)} == {"drop": True, "size": False}
    assert 'failures="1"' in (place / "gate.xml").read_text()
    against = bitpick(place, "gate", "run", "--against", "run")
    assert against.returncode == 0, against.stdout
    wrong = bitpick(place, "gate", "nowhere")
    assert wrong.returncode == 2
    assert "holds no run" in wrong.stderr


def test_bench_times_builds_beside_the_first(place):
    assert compare(place, "--out", "run", "--target", "host").returncode == 0
    names = [f"run/builds/fake__{name}" for name in ("float32", "s8s8-per_tensor-minmax")]
    quick = ("--processes", 2, "--pairs", 4)
    shown = bitpick(place, "bench", *names, *quick)
    assert shown.returncode == 0, shown.stderr
    assert all(text in shown.stdout for text in (*names, "reference", "ratio", "CPU time", "wall time", "Control"))
    told = json.loads(bitpick(place, "bench", *names, *quick, "--json").stdout)
    assert [row["recipe"] for row in told["rows"]] == ["fake:float32", "fake:s8s8-per_tensor-minmax"]
    assert told["rows"][1]["verdict"]
    alone = bitpick(place, "bench", names[0])
    assert alone.returncode == 2
    assert "1 build to time" in alone.stderr
