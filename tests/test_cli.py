"""The command as its users meet it: a process, its output, its exit code, what it leaves on disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import psutil
import pytest

from tests import alone, forked
from tests.conftest import linear_model

pytestmark = pytest.mark.frameworks

COMMAND = [sys.executable, "-m", "bitpick"]
READ_DATA = ("bench", "compare", "convert", "diagnose", "evaluate", "quantize")
PICTURES = ["--data", "../pictures.yaml"]


@pytest.fixture
def place(request, tmp_path, fake_distribution, pictures, monkeypatch):
    """An empty working directory, a linear model and its pictures outside it, and the fake engine installed."""
    for name in ("linear.onnx", "pictures.yaml"):
        shutil.copyfile(pictures / name, tmp_path / name)
    if "cifar10" not in request.fixturenames:
        monkeypatch.setenv("BITPICK_CACHE", str(pictures / "cache"))
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def environment(place: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(place.parent / "site"), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path, "COLUMNS": "120"}


def bitpick(place: Path, command: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    data = PICTURES if command in READ_DATA and "--data" not in arguments else []
    return forked.bitpick([command, *arguments, *data], place, environment(place))


def compare(place: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    timing = [] if "--bench-seconds" in arguments else ["--no-bench"]
    target = [] if "--target" in arguments else ["--target", "host"]
    return bitpick(place, "compare", "../linear.onnx", "--engine", "fake", *timing, *target, *arguments)


QUICK = ["--no-bench", "--target", "host", "--out", "run", "--json"]


def rows_when(path: Path, count: int) -> list[dict]:
    """The rows of a run.json that is being written, once there are so many."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        rows = json.loads(path.read_text())["rows"] if path.exists() else []
        if len(rows) >= count:
            return rows
        time.sleep(0.05)
    raise AssertionError(f"no {count} rows after a minute")


def left_in(place: Path) -> list[str]:
    return sorted(str(p.relative_to(place)) for p in place.rglob("*"))


def test_compare_shows_the_rows_the_pick_and_where_everything_is(place):
    done = compare(place, "--target", "host", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for text in ("fake:float32", "fake:s8s8-per_tensor-minmax", "accuracy", "Ship fake:", "unsupported:", "run.json"):
        assert text in done.stdout
    left = {p.name for p in (place / "run").iterdir()} - {"ranges", "examples"}
    assert left == {"report.md", "report.html", "run.json", "builds", "forms", "logs"}
    build = place / "run" / "builds" / "fake__s8s8-per_tensor-minmax"
    assert {p.name for p in build.iterdir()} == {
        "model.npz", "recipe.yaml", "predictions.npz", "labels.txt", "run.py",
    }  # fmt: skip


def test_json_is_the_run_and_nothing_else_is_on_standard_output(place):
    done = compare(place, "--out", "run", "--json")
    assert json.loads(done.stdout) == json.loads((place / "run" / "run.json").read_text())


def test_without_out_the_same_request_finds_its_own_folder_again(place):
    first = compare(place)
    assert first.returncode == 0, first.stderr
    (folder,) = (place / "runs").iterdir()
    run = json.loads((folder / "run.json").read_text())
    assert folder.name == f"linear-pictures-{run['request']['sha256'][:8]}"
    assert compare(place).returncode == 0
    assert list((place / "runs").iterdir()) == [folder]
    again = json.loads((folder / "run.json").read_text())
    assert again["rows"] == run["rows"]
    assert compare(place, "--seed", 1).returncode == 0
    assert len(list((place / "runs").iterdir())) == 2


def test_report_is_written_again_from_run_json(place):
    compare(place, "--out", "run")
    before = {name: (place / "run" / name).read_text() for name in ("report.md", "report.html")}
    for name in before:
        (place / "run" / name).unlink()
    assert bitpick(place, "report", "run").returncode == 0
    assert {name: (place / "run" / name).read_text() for name in before} == before


def test_quantize_and_evaluate_agree_with_compare(place):
    recipe = "fake:s8u8-per_channel-minmax"
    made = bitpick(place, "quantize", "../linear.onnx", "--recipe", recipe, "-o", "build", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["files"][0]["path"] == "model.npz"
    row = json.loads(bitpick(place, "evaluate", "build", "--json").stdout)
    compared = json.loads(compare(place, "--out", "run", "--json").stdout)
    same = next(r for r in compared["rows"] if r["id"] == recipe)
    assert row["accuracy"] == same["accuracy"]
    assert row["files"][0]["sha256"] == same["files"][0]["sha256"]
    assert "predictions.npz" not in left_in(place / "build")
    text = bitpick(place, "evaluate", "build").stdout
    assert "of 4,000 (95% interval" in text
    assert "ibis" in text


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


def test_a_build_made_alone_ships_the_same_bytes_as_in_a_comparison(place):
    recipe = "onnxruntime:s8u8-per_channel-minmax"
    assert bitpick(place, "quantize", "../linear.onnx", "--recipe", recipe, "-o", "build").returncode == 0
    wanted = ("compare", "../linear.onnx", "--recipe", recipe, "--target", "host", "--no-bench", "--out", "run")
    assert bitpick(place, *wanted).returncode == 0
    other = place / "run" / "builds" / "onnxruntime__s8u8-per_channel-minmax"
    names = {path.name for path in (place / "build").iterdir()}
    assert names == {"model.onnx", "recipe.yaml", "labels.txt", "run.py"}
    for name in names:
        assert (place / "build" / name).read_bytes() == (other / name).read_bytes(), name


def test_convert_writes_a_verified_file(place):
    done = bitpick(place, "convert", "../linear.onnx", "--to", "onnx", "-o", "clean.onnx")
    assert done.returncode == 0, done.stderr
    assert "100.00%" in done.stdout
    assert left_in(place) == ["clean.onnx"]


@pytest.mark.data
@pytest.mark.usefixtures("cifar10")
def test_engines_and_data_have_json(place):
    table = json.loads(bitpick(place, "engines", "--json").stdout)
    assert [row["name"] for row in table] == [
        "executorch", "fake", "keras", "litert", "onnxruntime", "openvino", "pytorch_fx", "pytorch_pt2e",
    ]  # fmt: skip
    told = json.loads(bitpick(place, "data", "cifar10", "--json").stdout)
    assert (told["calibration"], told["evaluation"]) == (50_000, 10_000)


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


def test_a_run_without_a_quantized_row_is_exit_3_and_its_report_says_why(place):
    done = compare(place, "--recipe", "fake:s8s8-per_tensor-minmax+absent", "--out", "run")
    assert done.returncode == 3
    assert "no quantized row is ok" in done.stderr
    assert json.loads((place / "run" / "run.json").read_text())["state"] == "failed"
    assert "was asked to lack it" in (place / "run" / "report.md").read_text()


def test_a_worker_that_dies_costs_its_row_not_the_run(place):
    crash, fine = "fake:s8s8-per_tensor-minmax+crash", "fake:s8u8-per_channel-minmax"
    done = compare(place, "--recipe", crash, "--recipe", fine, "--out", "run", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["id"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows[crash]["status"] == "failed"
    assert "the worker process fake ended with exit code 70" in rows[crash]["reason"]
    assert rows[fine]["status"] == "ok"


GOOD_THEN_HANGING = ["--recipe", "fake:s8u8-per_channel-minmax", "--recipe", "fake:s8s8-per_tensor-minmax+hang"]
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


def test_output_to_a_closed_pipe_is_no_error(place):
    compare(place, "--out", "run")
    command = f"{' '.join(COMMAND)} report run --json | true"  # gone before the first byte comes
    done = subprocess.run(["bash", "-c", command], cwd=place, env=environment(place), capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def exported(place: Path) -> Path:
    """The linear model as another exporter might write it: a fixed batch, and its weights in a file beside it."""
    model = onnx.load(place.parent / "linear.onnx")
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    folder = place.parent / "exported"
    folder.mkdir()
    onnx.save(model, folder / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    return folder / "m.onnx"


def test_a_fixed_batch_and_weights_in_a_file_of_their_own(place):
    model = exported(place)
    done = bitpick(place, "compare", model, "--engine", "onnxruntime", "--preset", "basic", *QUICK)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    same = json.loads(bitpick(place, "evaluate", "../linear.onnx", "--json").stdout)
    rows = {row["id"]: row for row in run["rows"]}
    assert rows["onnxruntime:float32"]["accuracy"] == same["accuracy"]
    assert not [row for row in run["rows"] if row["status"] != "ok"]
    assert json.loads(bitpick(place, "evaluate", model, "--json").stdout)["accuracy"] == same["accuracy"]


def test_other_weights_in_the_file_beside_it_are_another_model(place):
    model = exported(place)
    arguments = [
        "compare",
        model,
        "--engine",
        "onnxruntime",
        "--recipe",
        "onnxruntime:s8s8-per_tensor-minmax",
        "--target",
        "host",
        "--no-bench",
        "--json",
    ]
    first = json.loads(bitpick(place, *arguments).stdout)
    data = bytearray((model.parent / "m.data").read_bytes())
    data[3] ^= 0x80  # one weight with another sign
    (model.parent / "m.data").write_bytes(data)
    second = json.loads(bitpick(place, *arguments).stdout)
    assert first["request"]["sha256"] != second["request"]["sha256"]
    assert first["model"]["sha256"] != second["model"]["sha256"]


def test_a_recipe_from_a_file_is_the_same_request(place):
    """The file that a build has beside it makes exactly that build again."""
    first = json.loads(compare(place, "--recipe", "fake:s8s8-per_tensor-minmax", "--out", "a", "--json").stdout)
    file = place / "a" / "builds" / "fake__s8s8-per_tensor-minmax" / "recipe.yaml"
    second = json.loads(compare(place, "--recipe", file, "--out", "b", "--json").stdout)
    assert first["request"]["sha256"] == second["request"]["sha256"]
    assert [row["files"] for row in first["rows"]] == [row["files"] for row in second["rows"]]


def test_a_job_that_hangs_costs_its_row_not_the_run(place):
    done = compare(place, *GOOD_THEN_HANGING, "--timeout", 3, "--out", "run", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["id"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["fake:s8u8-per_channel-minmax"]["status"] == "ok"
    hanging = rows["fake:s8s8-per_tensor-minmax+hang"]
    assert hanging["status"] == "failed"
    assert "took longer than 3 s" in hanging["reason"]
    assert "--timeout" in hanging["reason"]


def test_a_target_by_configuration_is_measured_beside_this_cpu(place):
    (place / "other.yaml").write_text(
        "name: other\nprefix: [env, BITPICK_FAKE_SATURATES=1]\nemulated: true\nsaturates: true\n"
    )
    recipe = "fake:s8u8-per_channel-minmax"
    done = compare(
        place, "--recipe", recipe, "--target", "other.yaml", "--target-samples", 100, "--out", "run", "--json"
    )
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    rows = {row["id"]: row for row in run["rows"]}
    assert rows[f"{recipe}@other"]["accuracy"]["total"] == 100
    assert rows[f"{recipe}@other"]["versus_native"]["flips"] > 0
    assert [flag["code"] for flag in rows[f"{recipe}@other"]["flags"]] == ["saturates"]
    assert rows[f"{recipe}+reduced_range@other"]["versus_native"]["flips"] == 0
    assert run["recommendation"]["by_target"]["other"] == f"{recipe}+reduced_range"
    report = (place / "run" / "report.md").read_text()
    assert "## On other CPUs" in report
    assert "| other (emulated) |" in report


def test_a_recipe_that_leaves_a_layer_in_float_is_refused_where_the_engine_cannot(place):
    (place / "r.yaml").write_text(
        "engine: executorch\ndtypes: s8s8\ngranularity: per_channel\ncalibration: histogram\nexclude: [x]\n"
    )
    done = bitpick(place, "compare", "../linear.onnx", "--recipe", "r.yaml")
    assert done.returncode == 2
    assert "executorch cannot leave single layers in float (exclude)" in done.stderr
    assert left_in(place) == ["r.yaml"]


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


def test_compare_times_its_rows_and_keeps_every_sample(place):
    timed = ("--bench-seconds", 1, "--margin", "20", "--target", "host", "--out", "run", "--json")
    done = compare(place, *timed)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    rows = {row["id"]: row for row in run["rows"] if row["status"] == "ok"}
    assert run["speed"]["reference"] == "fake:float32"  # ONNX Runtime's own is not in this run
    assert "latency" in run["recommendation"]["by_use"]
    for row_id, row in rows.items():
        latency = row["latency"]
        assert (latency["reference"], latency["threads"]) == ("fake:float32", 1)
        assert ("ratio_own" in latency) == ("ratio_reference" in latency) == (row["kind"] != "baseline")
        raw = json.loads((place / "run" / "builds" / row_id.replace(":", "__") / "timings.json").read_text())
        assert len(raw["wall"]["row"]) == len(raw["cpu"]["row"])
        assert len(raw["cpu"]["row"]) % latency["processes"] == 0
        assert latency["clock"] == "cpu"  # numpy computes on the thread that calls it
        assert latency["cpu_time"] > 0
    again = json.loads(compare(place, *timed).stdout)
    assert again["speed"] == run["speed"]
    assert {row["id"]: row for row in again["rows"] if row["status"] == "ok"} == rows
    gated = bitpick(place, "gate", "run", "--max-latency-ratio", 1000, "--json")
    (check,) = json.loads(gated.stdout)
    assert check["rule"] == "latency"
    assert check["passed"]
    assert gated.returncode == 0


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


def test_a_limit_on_times_needs_times(place):
    done = compare(place, "--max-latency-ratio", "0.5")
    assert done.returncode == 2
    assert "needs measured times" in done.stderr
    assert compare(place, "--target", "host", "--out", "run").returncode == 0
    gated = bitpick(place, "gate", "run", "--row", "fake:s8s8-per_tensor-minmax", "--max-latency-ratio", 1)
    assert gated.returncode == 1
    assert "has no time that was measured" in gated.stdout


def test_a_margin_that_is_none_is_refused(place):
    done = compare(place, "--margin", "a lot")
    assert done.returncode == 2
    assert "the margin 'a lot' is no margin" in done.stderr
    assert left_in(place) == []


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


def test_a_recipe_file_with_a_setting_is_built_evaluated_and_compared(place):
    recipe = "engine: onnxruntime\ndtypes: s8s8\ngranularity: per_tensor\ncalibration: minmax\n"
    (place / "mine.yaml").write_text(recipe + 'settings: {session.qdqisint8allowed: "1"}\n')
    built = bitpick(place, "quantize", "../linear.onnx", "--recipe", "mine.yaml", "-o", "build", "--json")
    assert built.returncode == 0, built.stderr
    name = json.loads(built.stdout)["recipe"]
    assert name.startswith("onnxruntime:mine.")
    row = json.loads(bitpick(place, "evaluate", "build", "--json").stdout)
    assert (row["id"], row["settings"]) == (name, {"session.qdqisint8allowed": "1"})
    again = bitpick(place, "compare", "../linear.onnx", "--recipe", "build/recipe.yaml", *QUICK)
    rows = {found["id"]: found for found in json.loads(again.stdout)["rows"]}
    assert rows[name]["files"][0]["sha256"] == row["files"][0]["sha256"]
    assert rows[name]["settings"] == row["settings"]


def test_calibration_seeds_judge_the_recipe_beside_its_file(place):
    recipe, still = "fake:s8u8-per_channel-minmax+drawn", "fake:s8s8-per_tensor-minmax"
    wanted = ("--recipe", recipe, "--recipe", still, "--calibration-seeds", 3, "--target", "host", "--out", "run")
    done = compare(place, *wanted)
    assert done.returncode == 0, done.stderr
    assert "Over calibration draws" in done.stdout
    assert "the recipe, over 3 draws, loses" in " ".join(done.stdout.split())
    run = json.loads((place / "run" / "run.json").read_text())
    over = {row["id"]: row["over_draws"] for row in run["rows"] if "over_draws" in row}
    assert set(over) == {recipe, still}
    assert len({draw["correct"] for draw in over[recipe]["draws"]}) == 3
    assert "## Over calibration draws" in (place / "run" / "report.md").read_text()
    assert {p.name for p in (place / "run" / "draws").iterdir()} == {"seed-1", "seed-2"}
    assert not list((place / "run" / "draws").rglob("model.npz"))
    record = place / "run" / "draws" / "seed-1" / recipe.replace(":", "__") / "draw.json"
    made = record.stat().st_mtime_ns
    assert compare(place, *wanted).returncode == 0
    assert record.stat().st_mtime_ns == made
    again = json.loads((place / "run" / "run.json").read_text())
    assert again["rows"] == run["rows"]


def test_cross_fit_chooses_on_one_half_and_judges_on_the_other(place):
    recipe = "fake:s8u8-per_channel-minmax"
    wanted = (
        "--recipe",
        recipe,
        "--selection",
        "cross-fit",
        "--margin",
        "20",
        "--target",
        "host",
        "--no-bench",
        "--out",
        "run",
    )
    done = compare(place, *wanted)
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    assert f"Cross-fit: each half of the samples chooses {recipe}, confirmed by the other both times." in told
    assert "Selection: cross-fit." in told
    found = json.loads((place / "run" / "run.json").read_text())["recommendation"]
    assert (found["id"], found["selection"]) == (recipe, "cross-fit")
    assert [fold["judging"] for fold in found["folds"]] == [2000, 2000]
