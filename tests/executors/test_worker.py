"""The child's side: what it does with standard input and output, seen from outside."""

from __future__ import annotations

import json
import subprocess
import sys

COMMAND = [sys.executable, "-P", "-m", "bitpick.executors.worker"]


def talk(*requests: dict) -> subprocess.CompletedProcess[str]:
    """Start a worker, send requests one after the other, close its standard input."""
    process = subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    answers = []
    for request in requests:
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        answers.append(process.stdout.readline())
    rest, err = process.communicate(timeout=20)
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


def test_it_goes_when_standard_input_ends():
    done = talk()
    assert done.returncode == 0
    assert done.stdout == ""


def test_a_folder_of_the_user_shadows_no_library(tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    process = subprocess.run(COMMAND, input=b"", cwd=tmp_path, capture_output=True, timeout=20)
    assert process.returncode == 0, process.stderr
