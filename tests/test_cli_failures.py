"""A run that fails, as its user meets it: a message, run.json, the reports, and an exit code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import onnx
import pytest
from typer.testing import CliRunner

from bitpick import api, cli
from tests.test_cli_data import bitpick, place

__all__ = ["place"]


def run_of(place: Path) -> dict:
    return json.loads((place / "run" / "run.json").read_text())


def with_unknown_operator(place: Path) -> Path:
    """The model with a last node that no library knows."""
    model = onnx.load(place / "model.onnx")
    last = model.graph.node[-1]
    last.output[0] = "inner"
    model.graph.node.append(onnx.helper.make_node("Swirl", ["inner"], ["scores"], "head/swirl", domain="my.ops"))
    model.opset_import.append(onnx.helper.make_opsetid("my.ops", 1))
    onnx.save(model, place / "unknown.onnx")
    return place / "unknown.onnx"


def test_a_model_that_cannot_be_converted_says_so_everywhere(place):
    done = bitpick(place, "compare", with_unknown_operator(place), "--data", "set.npz", "--out", "run")
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.startswith("bitpick: ONNX Runtime cannot load unknown.onnx (opset 17): ")
    assert "my.ops:Swirl" in done.stderr
    assert re.search(r"^the logs are in \S*run/logs$", done.stderr, re.MULTILINE)
    run = run_of(place)
    assert run["state"] == "failed"
    assert run["error"]["kind"] == "OperatorError"
    assert "my.ops:Swirl" in run["error"]["what"]
    assert (place / "run" / run["error"]["logs"]).is_dir()


def test_json_tells_the_error_and_nothing_else_is_on_standard_output(place):
    done = bitpick(place, "compare", with_unknown_operator(place), "--data", "set.npz", "--out", "run", "--json")
    assert done.returncode == 3
    error = json.loads(done.stdout)["error"]
    assert {**error, "logs": "logs"} == run_of(place)["error"]
    wrong = bitpick(place, "compare", "nothing.onnx", "--data", "set.npz", "--json")
    assert wrong.returncode == 2
    assert json.loads(wrong.stdout)["error"]["kind"] == "ModelError"


@pytest.mark.parametrize(
    "command",
    [
        ["quantize", "model.onnx", "--recipe", "fake:s8s8-per_tensor-minmax+error", "-o", "build"],
        ["quantize", "model.onnx", "--recipe", "fake:s8s8-per_tensor-minmax+crash", "-o", "build"],
        ["convert", "unknown.onnx", "--to", "onnx", "-o", "clean.onnx"],
        ["evaluate", "unknown.onnx", "--task", "classification"],
        ["bench", "unknown.onnx", "model.onnx", "--processes", "1"],
        ["diagnose", "model.onnx", "--recipe", "fake:s8s8-per_tensor-minmax+error", "--out", "run"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_every_command_that_computes_says_where_the_logs_are(place, command):
    with_unknown_operator(place)
    done = bitpick(place, *command, "--data", "set.npz")
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    found = re.search(r"^the logs are in (.+)$", done.stderr, re.MULTILINE)
    assert found, done.stderr
    assert "Traceback" in "".join(log.read_text() for log in (place / found[1]).iterdir()) or "+crash" in command[3]


def test_what_nobody_foresaw_is_one_message_with_its_traceback_in_a_file(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken():
        raise KeyError("state")

    monkeypatch.setattr(api, "engine_table", broken)
    done = CliRunner().invoke(cli.app, ["engines", "--json"])
    assert done.exit_code == 3
    (folder,) = tmp_path.iterdir()
    first, *_ = done.stderr.splitlines()
    assert first == f"bitpick: an unexpected error: KeyError: 'state' (in {__name__}, {broken.__qualname__})"
    assert f"the logs are in {folder}" in done.stderr
    assert "Traceback" in (folder / "bitpick.log").read_text()
    assert json.loads(done.stdout)["error"]["kind"] == "UnexpectedError"


def test_running_out_of_memory_is_told_as_that(monkeypatch):
    def hungry():
        raise MemoryError

    monkeypatch.setattr(api, "engine_table", hungry)
    done = CliRunner().invoke(cli.app, ["engines"])
    assert done.exit_code == 3
    assert done.stderr.startswith("bitpick: out of memory")
