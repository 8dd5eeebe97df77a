"""The child's side: what it does with standard input and output, seen from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

COMMAND = [sys.executable, "-P", "-m", "bitpick.executors.worker"]


def talk(*requests: dict, **environment: str) -> subprocess.CompletedProcess[str]:
    """Start a worker, send requests one after the other, close its standard input."""
    process = subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    answers = []
    for request in requests:
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        answers.append(process.stdout.readline())
    rest, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(COMMAND, process.returncode, "".join(answers) + rest, err)


def test_one_answer_a_line_and_nothing_else_on_standard_output():
    done = talk(
        {"function": "builtins:print", "payload": {"end": "printed"}},
        {"function": "os:write", "payload": {}},
        {"function": "json:dumps", "payload": {"obj": [1]}},
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert answers[0]["value"] is None
    assert answers[1]["error"]["kind"] == "EngineError"
    assert answers[1]["error"]["what"].startswith("TypeError: ")
    assert answers[2]["value"] == "[1]"
    assert "printed" in done.stderr
    assert "Traceback" in done.stderr


def test_what_a_library_says_moves_no_cursor_of_whoever_reads_the_log():
    done = talk({"function": "bitpick.targets.target:check_name", "payload": {"name": "host", "message": "\x1b[2J"}})
    assert "\x1b" not in done.stderr
    assert "\\u001b[2J" in done.stderr


def test_it_goes_when_standard_input_ends():
    done = talk()
    assert done.returncode == 0
    assert done.stdout == ""


def test_a_folder_of_the_user_shadows_no_library(tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    process = subprocess.run(COMMAND, input=b"", cwd=tmp_path, capture_output=True, timeout=20)
    assert process.returncode == 0, process.stderr


def test_no_library_reports_to_its_maker_or_keeps_an_id_of_the_user(tmp_path):
    names = ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY")
    asked = [{"function": "os:getenv", "payload": {"key": name}} for name in names]
    opened = {"function": "functions:open_onnx", "payload": {}}
    imported = {"function": "importlib:import_module", "payload": {"name": "openvino_telemetry"}}
    found = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = talk(*asked, opened, imported, HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "c"), PYTHONPATH=found)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer.get("value") for answer in answers[:3]] == ["1", "1", ["CPUExecutionProvider"]]
    assert answers[3]["error"]["what"].startswith("ModuleNotFoundError")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("has_settings", [False, True])
def test_keras_writes_its_settings_in_the_cache_unless_the_user_has_some(tmp_path, has_settings):
    if has_settings:
        (tmp_path / ".keras").mkdir()
    asked = {"function": "os:getenv", "payload": {"key": "KERAS_HOME"}}
    done = talk(asked, HOME=str(tmp_path), BITPICK_CACHE=str(tmp_path / "cache"))
    assert json.loads(done.stdout)["value"] == (None if has_settings else str(tmp_path / "cache" / "keras"))


def test_a_worker_needs_no_home():
    asked = {"function": "json:dumps", "payload": {"obj": 1}}
    assert json.loads(talk(asked, HOME="").stdout)["value"] == "1"


def test_what_it_started_ends_with_it():
    found = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    pipe, environment = subprocess.PIPE, os.environ | {"PYTHONPATH": found}
    process = subprocess.Popen(COMMAND, stdin=pipe, stdout=pipe, text=True, env=environment, start_new_session=True)
    process.stdin.write(json.dumps({"function": "functions:start_compiler", "payload": {}}) + "\n")
    process.stdin.flush()
    compiler = psutil.Process(json.loads(process.stdout.readline())["value"])
    assert compiler.is_running()
    process.communicate(timeout=60)  # its standard input ends, as when its parent is killed
    assert not psutil.wait_procs([compiler], timeout=10)[1]
