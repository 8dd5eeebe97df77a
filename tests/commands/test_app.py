from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import onnx
import psutil
import pytest
from typer.testing import CliRunner

from bitpick import api, cli
from tests.commands.command import (
    COMMAND,
    GOOD_THEN_HANGING,
    PICTURES,
    bitpick,
    compare,
    environment,
    left_in,
    rows_when,
)
from tests.conftest import linear_model

pytestmark = pytest.mark.frameworks


def files_in(folder: Path) -> None:
    (folder / "empty.onnx").write_bytes(b"")
    (folder / "text.onnx").write_text("hello, I am not a model")
    (folder / "text.h5").write_text("hello, I am not a model")
    (folder / "notes.txt").write_text("hello")
    whole = (folder / "linear.onnx").read_bytes()
    (folder / "half.onnx").write_bytes(whole[: len(whole) // 2])
    linear_model(folder / "seven.onnx", shape=(32, 32, 3), classes=7)
    linear_model(folder / "wide.onnx", shape=(64, 64, 3), classes=10)
    (folder / "taken").mkdir(exist_ok=True)
    (folder / "taken" / "thesis.txt").write_text("years")


WRONG = {
    "missing": (["compare", "../no.onnx"], "model ../no.onnx does not exist"),
    "empty": (["compare", "../empty.onnx"], "is empty"),
    "not a model": (["compare", "../text.onnx"], "is not a valid ONNX model"),
    "not HDF5": (["compare", "../text.h5"], "is not a .h5 file"),
    "unknown suffix": (["compare", "../notes.txt"], "unknown suffix '.txt'"),
    "truncated": (["compare", "../half.onnx"], "is not a valid ONNX model"),
    "classes": (["compare", "../seven.onnx"], "gives 7 scores, and the data set has 10 classes"),
    "shape": (["compare", "../wide.onnx"], "takes image (batch, 64, 64, 3) float32"),
    "calibration size": (["compare", "../linear.onnx", "--calibration-size", "60000"], "cannot draw 60,000"),
    "preset": (["compare", "../linear.onnx", "--preset", "basics"], "did you mean basic?"),
    "engine": (["compare", "../linear.onnx", "--engine", "fakes"], "did you mean fake?"),
    "recipe": (["compare", "../linear.onnx", "--recipe", "fake:s8u8"], "is not a recipe"),
    "recipe of no engine": (["compare", "../linear.onnx", "--recipe", "fak:float32"], "did you mean fake?"),
    "seed": (["compare", "../linear.onnx", "--seed", "-1"], "the seed -1 is negative"),
    "calibration seeds": (["compare", "../linear.onnx", "--calibration-seeds", "0"], "seeds 0 is out of range"),
    "selection": (["compare", "../linear.onnx", "--selection", "cross"], "did you mean cross-fit?"),
    "recipe of another engine": (
        ["compare", "../linear.onnx", "--engine", "keras", "--recipe", "fake:float32"],
        "which --engine leaves out",
    ),
    "timeout": (["compare", "../linear.onnx", "--timeout", "0"], "the timeout 0 is out of range"),
    "memory limit": (["compare", "../linear.onnx", "--memory-limit", "-1"], "the memory limit -1 is out of range"),
    "flag drop": (["compare", "../linear.onnx", "--flag-drop", "-1"], "from 0 to 100"),
    "data": (["compare", "../linear.onnx", "--data", "cifar100"], "did you mean cifar10?"),
    "data folder": (["compare", "../linear.onnx", "--data", "../taken"], "holds no data set: it has thesis.txt"),
    "taken": (["compare", "../linear.onnx", "--out", "../taken"], "holds no run"),
    "not writable": (["compare", "../linear.onnx", "--out", "/proc/self/run"], "cannot be written"),
    "option": (["compare", "--no-such-option"], "No such option"),
    "number": (["compare", "--seed", "x"], "valid int"),
    "no run": (["report", "../taken"], "holds no run"),
    "no build": (["evaluate", "../taken"], "holds no build"),
    "evaluate classes": (["evaluate", "../seven.onnx"], "gives 7 scores"),
    "evaluate shape": (["evaluate", "../wide.onnx"], "takes image (batch, 64, 64, 3) float32"),
    "convert onto a directory": (["convert", "../linear.onnx", "--to", "onnx", "-o", "../taken"], "is a directory"),
    "convert nothing": (["convert", "../no.onnx", "--to", "onnx", "-o", "a/b/c.onnx"], "does not exist"),
    "conversion": (["convert", "../linear.onnx", "--to", "onx", "-o", "x"], "did you mean onnx?"),
    "quantize onto files": (
        ["quantize", "../linear.onnx", "--recipe", "fake:s8s8-per_tensor-minmax", "-o", "../taken"],
        "is not an empty directory",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_exit_2_one_message_and_nothing_written(place, case):
    arguments, says = WRONG[case]
    files_in(place.parent)
    before = left_in(place.parent)
    done = bitpick(place, *arguments)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert left_in(place.parent) == before


HANGING_COMMAND = [*COMMAND, "compare", "../linear.onnx", *GOOD_THEN_HANGING, *PICTURES, "--no-bench", "--out", "run"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_exit_130_with_children_gone_and_a_whole_run_json(place, how):
    command = HANGING_COMMAND
    process = subprocess.Popen(
        command, cwd=place, env=environment(place), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    path = place / "run" / "run.json"
    rows_when(path, 2)  # then the other one hangs
    time.sleep(0.3)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(how)
    time.sleep(0.02)
    process.send_signal(signal.SIGINT)  # an impatient second one disturbs nothing
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    run = json.loads(path.read_text())
    assert run["state"] == "interrupted"
    assert [row["status"] for row in run["rows"]] == ["ok", "ok"]
    assert "interrupted" in (place / "run" / "report.md").read_text()


def test_a_kill_loses_nothing_that_was_done(place):
    command = HANGING_COMMAND
    process = subprocess.Popen(command, cwd=place, env=environment(place), stderr=subprocess.DEVNULL)
    path = place / "run" / "run.json"
    rows = rows_when(path, 2)
    assert len(rows) == 2
    process.kill()
    process.wait(10)
    assert json.loads(path.read_text())["state"] == "running"
    # Continued, it has the hanging row alone before it.
    process = subprocess.Popen(command, cwd=place, env=environment(place), stderr=subprocess.DEVNULL)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    process.wait(20)
    again = {row["id"]: row for row in json.loads(path.read_text())["rows"]}
    assert all(again[row["id"]] == row for row in rows)


def test_an_interrupt_while_rows_are_timed_loses_none(place):
    arguments = ["--recipe", "fake:s8s8-per_tensor-minmax", "--target", "host", "--bench-seconds", "100"]
    command = [*COMMAND, "compare", "../linear.onnx", *arguments, *PICTURES, "--out", "run"]
    process = subprocess.Popen(command, cwd=place, env=environment(place), stderr=subprocess.PIPE, text=True)
    path = place / "run" / "run.json"
    rows_when(path, 2)
    time.sleep(1.5)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    run = json.loads(path.read_text())
    assert run["state"] == "interrupted"
    assert [row["status"] for row in run["rows"]] == ["ok", "ok"]
    assert not [row for row in run["rows"] if "latency" in row]


def test_output_to_a_closed_pipe_is_no_error(place):
    compare(place, "--out", "run")
    command = f"{' '.join(COMMAND)} report run --json | true"  # gone before the first byte comes
    done = subprocess.run(["bash", "-c", command], cwd=place, env=environment(place), capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def run_of(album: Path) -> dict:
    return json.loads((album / "run" / "run.json").read_text())


def with_unknown_operator(album: Path) -> Path:
    """The model with a last node that no library knows."""
    model = onnx.load(album / "model.onnx")
    last = model.graph.node[-1]
    last.output[0] = "inner"
    model.graph.node.append(onnx.helper.make_node("Swirl", ["inner"], ["scores"], "head/swirl", domain="my.ops"))
    model.opset_import.append(onnx.helper.make_opsetid("my.ops", 1))
    onnx.save(model, album / "unknown.onnx")
    return album / "unknown.onnx"


def test_a_model_that_cannot_be_converted_says_so_everywhere(album):
    done = bitpick(album, "compare", with_unknown_operator(album), "--data", "set.npz", "--out", "run")
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.startswith("bitpick: ONNX Runtime cannot load unknown.onnx (opset 17): ")
    assert "my.ops:Swirl" in done.stderr
    assert re.search(r"^the logs are in \S*run/logs$", done.stderr, re.MULTILINE)
    run = run_of(album)
    assert run["state"] == "failed"
    assert run["error"]["kind"] == "OperatorError"
    assert "my.ops:Swirl" in run["error"]["what"]
    assert (album / "run" / run["error"]["logs"]).is_dir()


def test_json_tells_the_error_and_nothing_else_is_on_standard_output(album):
    done = bitpick(album, "compare", with_unknown_operator(album), "--data", "set.npz", "--out", "run", "--json")
    assert done.returncode == 3
    error = json.loads(done.stdout)["error"]
    assert {**error, "logs": "logs"} == run_of(album)["error"]
    wrong = bitpick(album, "compare", "nothing.onnx", "--data", "set.npz", "--json")
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
def test_every_command_that_computes_says_where_the_logs_are(album, command):
    with_unknown_operator(album)
    done = bitpick(album, *command, "--data", "set.npz")
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    found = re.search(r"^the logs are in (.+)$", done.stderr, re.MULTILINE)
    assert found, done.stderr
    assert "Traceback" in "".join(log.read_text() for log in (album / found[1]).iterdir()) or "+crash" in command[3]


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


@pytest.mark.parametrize(
    ("shell", "code", "says"),
    [
        ("{0} engines >&-", 2, "standard output is closed"),
        ("{0} engines > /dev/full", 3, "no space is left on the disk"),
        ("{0} engines --json > /dev/full", 3, "no space is left on the disk"),
        ("{0} engines | true; exit ${{PIPESTATUS[0]}}", 3, "standard output was closed before everything was written"),
        ("{0} compare --help | true; exit ${{PIPESTATUS[0]}}", 3, ""),
        ("{0} engines 2>&- <&- > /dev/null", 0, ""),
        ("PYTHONCOERCECLOCALE=0 PYTHONUTF8=0 LC_ALL=C {0} engines > /dev/null", 0, ""),
        ("{0} report $(printf 'm\\xff') > /dev/null", 2, "is not UTF-8"),
        ("{0} report {1} > /dev/null", 2, "File name too long"),
        ("{0} compare {1} --data {1} --out run > /dev/null", 3, "a name is too long for the system"),
    ],
    ids=[
        "closed",
        "full",
        "full, as JSON",
        "not read",
        "help not read",
        "no others",
        "no UTF-8",
        "odd name",
        "long",
        "too long",
    ],
)
def test_streams_and_names_that_are_no_use_are_no_traceback_and_no_answer(place, shell, code, says):
    command = shell.format(" ".join(COMMAND), "x" * 256)
    done = subprocess.run(["bash", "-c", command], cwd=place, env=environment(place), capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
