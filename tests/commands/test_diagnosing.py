"""`bitpick diagnose` as its users meet it: a process, its output, its exit code, what it leaves on disk."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import psutil
import pytest

from tests.commands.command import COMMAND, PICTURES, bitpick, environment, left_in

pytestmark = pytest.mark.frameworks
RECIPE = "fake:s8s8-per_tensor-minmax"


def diagnose(place, *arguments):
    return bitpick(place, "diagnose", "../linear.onnx", "--recipe", RECIPE, "--samples", 500, *arguments)


def test_it_shows_layers_and_advice_and_keeps_them_in_run_json(place):
    done = diagnose(place, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for text in (
        "fake:float32",
        RECIPE,
        "only it quantized",
        "dense",
        "Gemm",
        "· The recipe loses",
        "in run: report.html, report.md",
    ):
        assert text in done.stdout
    run = json.loads((place / "run" / "run.json").read_text())
    assert bitpick(place, "report", "run").stdout == done.stdout
    assert (run["command"], run["state"]) == ("diagnose", "complete")
    assert run["diagnosis"]["samples"] == 500
    assert [layer["kind"] for layer in run["diagnosis"]["layers"]] == ["Gemm"]
    assert {"report.md", "run.json", "builds", "diagnosis"} <= {p.name for p in (place / "run").iterdir()}


def test_json_is_the_run_and_the_default_folder_is_found_again(place):
    first = diagnose(place, "--json")
    (folder,) = (place / "runs").iterdir()
    run = json.loads((folder / "run.json").read_text())
    assert run.pop("sha256")  # of the file
    assert json.loads(first.stdout) == run
    assert folder.name == f"diagnose-linear-fake__s8s8-per_tensor-minmax-{run['request']['sha256'][:8]}"
    again = json.loads(diagnose(place, "--json").stdout)
    assert again["rows"] == run["rows"]
    assert again["diagnosis"] == run["diagnosis"]
    assert list((place / "runs").iterdir()) == [folder]


WRONG = {
    "no model": (["diagnose", "../no.onnx", "--recipe", RECIPE], "model ../no.onnx does not exist"),
    "no recipe": (["diagnose", "../linear.onnx"], "Missing option"),
    "not a recipe": (["diagnose", "../linear.onnx", "--recipe", "fake:s8"], "is not a recipe"),
    "no such engine": (["diagnose", "../linear.onnx", "--recipe", "fak:s8dynamic"], "did you mean fake?"),
    "nothing quantized": (["diagnose", "../linear.onnx", "--recipe", "fake:float32"], "nothing to diagnose"),
    "cannot scope": (
        ["diagnose", "../linear.onnx", "--recipe", "executorch:s8s8-per_channel-histogram"],
        "executorch cannot leave single layers in float",
    ),
    "samples": (["diagnose", "../linear.onnx", "--recipe", RECIPE, "--samples", "0"], "number of samples 0"),
    "layers": (["diagnose", "../linear.onnx", "--recipe", RECIPE, "--layers", "0"], "number of layers 0"),
    "timeout": (["diagnose", "../linear.onnx", "--recipe", RECIPE, "--timeout", "0"], "the timeout 0"),
    "data": (["diagnose", "../linear.onnx", "--recipe", RECIPE, "--data", "cifar100"], "did you mean cifar10?"),
    "not writable": (["diagnose", "../linear.onnx", "--recipe", RECIPE, "--out", "/proc/x"], "cannot be written"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_exit_2_one_message_and_nothing_written(place, case):
    arguments, says = WRONG[case]
    done = bitpick(place, *arguments)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert left_in(place) == []


def test_a_comparison_is_not_taken_for_a_diagnosis(place):
    options = ("--recipe", RECIPE, "--no-bench", "--target", "host", "--out", "run")
    assert bitpick(place, "compare", "../linear.onnx", *options).returncode == 0
    before = (place / "run" / "run.json").read_bytes()
    done = diagnose(place, "--out", "run")
    assert done.returncode == 2
    assert "holds another request's run" in done.stderr
    assert (place / "run" / "run.json").read_bytes() == before
    assert diagnose(place, "--out", "run", "--overwrite").returncode == 0


def test_a_recipe_that_fails_is_exit_3_and_says_why(place):
    done = bitpick(place, "diagnose", "../linear.onnx", "--recipe", f"{RECIPE}+absent", "--out", "run")
    assert done.returncode == 3
    assert "was asked to lack it" in done.stderr
    assert json.loads((place / "run" / "run.json").read_text())["state"] == "failed"


def test_an_interrupt_is_exit_130_with_children_gone_and_a_whole_run_json(place):
    command = [*COMMAND, "diagnose", "../linear.onnx", "--recipe", f"{RECIPE}+hang", *PICTURES, "--out", "run"]
    process = subprocess.Popen(
        command, cwd=place, env=environment(place), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    path = place / "run" / "run.json"
    end = time.monotonic() + 60
    while time.monotonic() < end and not (path.exists() and json.loads(path.read_text())["rows"]):
        time.sleep(0.05)  # until the baseline is there; then the other one hangs
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert json.loads(path.read_text())["state"] == "interrupted"
