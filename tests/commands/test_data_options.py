"""A user's data, and a user's first five mistakes, as a process with its output and its exit code."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.commands.command import bitpick
from tests.commands.photos import CLASSES, COUNT


@pytest.fixture
def place(album):
    """A working directory with pictures in folders of classes and as arrays."""
    return album


def compare(place: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return bitpick(place, "compare", "model.onnx", "--engine", "fake", "--no-bench", "--out", "run", *arguments)


@pytest.mark.parametrize("data", ["photos", "set.npz", "first.npz"])
def test_the_same_pictures_are_the_same_data_however_they_are_stored(place, data):
    done = compare(place, "--data", data, "--split", "0.5", "--json")
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert run["data"]["evaluation"]["count"] == COUNT / 2
    assert run["data"]["calibration"]["count"] == COUNT / 2  # the default asks for no more than there are
    assert run["rows"][0]["accuracy"]["value"] > 0.8
    assert run["request"]["data_options"] == {"split": 0.5}
    told = bitpick(place, "report", "run").stdout
    for note in run["data"]["notes"]:
        assert f"data: {note}"[:100] in told
        assert note in (place / "run" / "report.md").read_text()


def test_a_yaml_file_does_it_all(place):
    (place / "data.yaml").write_text("data: photos\nsplit: 0.5\nclasses: [ant, bee, cow, dog]\n")
    flags = compare(place, "--data", "photos", "--split", "0.5", "--classes", "ant,bee,cow,dog", "--json")
    first = json.loads(flags.stdout)
    second = json.loads(bitpick(place, "evaluate", "model.onnx", "--data", "data.yaml", "--json").stdout)
    assert second["accuracy"] == first["rows"][0]["accuracy"] | {"per_class": second["accuracy"]["per_class"]}


def test_other_pictures_in_the_same_folder_are_measured_again(place):
    first = json.loads(compare(place, "--data", "set.npz", "--json").stdout)
    with np.load(place / "set.npz") as stored:
        arrays = dict(stored)
    arrays["labels"][:50] = (arrays["labels"][:50] + 1) % 4
    np.savez(place / "set.npz", **arrays)
    second = json.loads(compare(place, "--data", "set.npz", "--json").stdout)
    assert first["request"]["sha256"] == second["request"]["sha256"]
    assert first["rows"][0]["accuracy"]["value"] > second["rows"][0]["accuracy"]["value"]
    third = json.loads(compare(place, "--data", "set.npz", "--json").stdout)
    assert third["rows"] == second["rows"]


def test_a_build_is_evaluated_on_data_that_is_read_as_when_it_was_made(place):
    said = ["--data", "photos", "--channels", "bgr", "--classes", "dog,cow,bee,ant", "--accept-baseline"]
    run = json.loads(compare(place, *said, "--json").stdout)
    rows = {row["id"]: row for row in run["rows"]}
    name = "fake:s8u8-per_channel-minmax"
    build = place / "run" / "builds" / name.replace(":", "__")
    told = json.loads(bitpick(place, "evaluate", build, "--data", "photos", "--json").stdout)
    assert told["accuracy"] == rows[name]["accuracy"]
    other = json.loads(bitpick(place, "evaluate", build, "--data", "photos", "--channels", "rgb", "--json").stdout)
    assert other["accuracy"] != rows[name]["accuracy"]


MISTAKES = {
    "path": (["--data", "fotos"], "there is no data set 'fotos'", "did you mean photos?"),
    "layout": (
        ["--data", "set.npz", "--layout", "channels-first"],
        "the model takes image (batch, 8, 8, 3) float32, which is channels-last, and --layout says channels-first",
        "leave --layout out",
    ),
    "scale": (
        ["--data", "photos", "--scale", "255"],
        "the values seem to be on the wrong scale: the float model gets",
        "leaving --scale, --mean and --std out gives 9",
    ),
    "class order": (
        ["--data", "photos", "--classes", "dog,cow,bee,ant"],
        "the classes seem to be in a different order from the model's: the float model gets",
        "--classes ant,bee,cow,dog, gives 9",
    ),
    "labels": (
        ["--data", "lists.npz"],
        "bitpick cannot tell whether classes_of_them in lists.npz are the labels",
        "--labels classes_of_them",
    ),
    "channels": (["--data", "photos", "--channels", "bgr"], "the channels look swapped", "--channels rgb gives 9"),
    "labels that are not there": (
        ["--data", "set.npz", "--labels", "label"],
        "set.npz has no array 'label', and there is no such file",
        "labels",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_first_mistake_is_named_with_its_fix(place, case):
    arguments, mistake, fix = MISTAKES[case]
    done = compare(place, *arguments)
    assert done.returncode == 2, done.stderr
    told, _, rest = done.stderr.removeprefix("bitpick: ").partition("\n")
    assert mistake in told
    assert fix in rest
    assert not (place / "run").exists()


def test_a_baseline_that_is_meant_goes_through_and_is_called_out(place):
    done = compare(place, "--data", "photos", "--channels", "bgr", "--accept-baseline", "--json")
    assert done.returncode == 0, done.stderr
    notes = json.loads(done.stdout)["data"]["notes"]
    assert any(note.startswith("the channels look swapped") for note in notes)


def test_without_labels_it_is_said_and_nothing_is_called_a_mistake(place):
    done = compare(place, "--data", "unlabelled.npz", "--json")
    assert done.returncode == 0, done.stderr
    assert any(note.startswith("no labels") for note in json.loads(done.stdout)["data"]["notes"])


def test_data_says_what_is_there(place):
    told = json.loads(bitpick(place, "data", "photos", "--resize", "8x8", "--json").stdout)
    assert (told["calibration"], told["evaluation"], told["classes"]) == (80, 320, list(CLASSES))
    assert "data: one set, divided" in bitpick(place, "data", "photos", "--resize", "8x8").stdout


def test_evaluate_says_what_it_took_for_labels_and_which_share_it_measures(place):
    done = bitpick(place, "evaluate", "model.onnx", "--data", "set.npz")
    assert "data: labels: the array labels; --labels overrides it" in done.stderr
    assert "data: one set, divided: 320 samples to evaluate on" in done.stderr


def test_without_labels_evaluate_says_what_to_do(place):
    done = bitpick(place, "evaluate", "model.onnx", "--data", "unlabelled.npz")
    assert done.returncode == 2
    assert "without labels run bitpick compare with the float model" in done.stderr


def test_evaluate_says_that_the_classes_look_to_be_in_another_order(place):
    done = bitpick(place, "evaluate", "model.onnx", "--data", "photos", "--classes", "dog,cow,bee,ant")
    assert done.returncode == 0
    assert "data: the classes seem to be in a different order from the model's" in done.stderr
    assert "--classes ant,bee,cow,dog, gives 9" in done.stderr


@pytest.mark.parametrize("command", ["evaluate", "compare"])
def test_a_model_whose_answer_depends_on_the_batch_is_refused(place, command):
    model = onnx.load(place / "model.onnx")
    last = model.graph.node[-1]
    output, last.output[0] = last.output[0], "raw"
    model.graph.node.append(onnx.helper.make_node("ReduceMean", ["raw"], ["mean"], "mean", axes=[0]))
    model.graph.node.append(onnx.helper.make_node("Sub", ["raw", "mean"], [output], "sub"))
    onnx.save(model, place / "model.onnx")
    more = ("--out", "run") if command == "compare" else ()
    done = bitpick(place, command, "model.onnx", "--data", "set.npz", *more)
    assert done.returncode == 2
    assert "the answer of model.onnx for a sample depends on the other samples in its batch" in done.stderr
    assert "call model.eval()" in done.stderr
    assert not (place / "run").exists()
