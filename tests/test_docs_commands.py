"""Every command that the docs show is run here, on a small model; what takes minutes is parsed, and named with why."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from bitpick.api import bundled_model
from bitpick.cli import app
from bitpick.datasets.dataset import Dataset
from bitpick.engines.registry import engines
from bitpick.recipe import Recipe
from tests import alone, forked
from tests.conftest import linear_model
from tests.pages import PAGES, blocks, commands, mentions

TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}
COMMANDS = list(dict.fromkeys(command for text in TEXTS.values() for command in commands(text)))

EVERYTHING = "every engine there is, timed: minutes"
RESNET = "builds of a ResNet8: a minute and more"
TIMED_BELOW = "timed at full length; the example of docs/reference/speed.md needs such a run, made shorter here"
BUILDERS = "tests/commands/test_models.py has such functions"
BENCH = "ten processes; tests/commands/test_finished.py times builds in fewer"
TRAINING = "trains for minutes; tests/end_to_end/test_training.py does so for seconds"
COPY = "tests/datasets/test_cifar10.py opens such copies"
PARSED = {
    "bitpick bench run/builds/onnxruntime__float32 build": BENCH,
    "bitpick compare": EVERYTHING,
    "bitpick compare model.keras --data cifar10": EVERYTHING,
    "bitpick compare model.keras --preset basic --out run": RESNET,
    "bitpick compare model.keras --recipe run/next_recipe.yaml": RESNET,
    "bitpick compare model.onnx --recipe onnxruntime:s8u8-per_channel-minmax+reduced_range": TIMED_BELOW,
    "bitpick compare model.onnx --no-bench --target host --training-minutes 15 "
    "--recipe litert:s4s8-per_channel-minmax+adaround+integer_io+pool_as_mean "
    "--recipe litert:s4s8-per_channel-minmax+integer_io+pool_as_mean+qat": TRAINING,
    "bitpick compare model.onnx --target x86-avx2": EVERYTHING,
    "bitpick compare model.onnx --target old-server.yaml": "there is no such server; tests/test_docs.py reads the file",
    "bitpick compare model.onnx --calibration-seeds 5 --selection cross-fit": EVERYTHING,
    "bitpick compare model.onnx --data data/cifar10 --engine onnxruntime --no-bench": COPY,
    "bitpick compare model.weights.h5 --keras-builder my_package:make_model --trust-model --out run": BUILDERS,
    "bitpick compare my_package:make_network --state-dict weights.pt --trust-model --out run": BUILDERS,
    "bitpick data --data data/cifar10": COPY,
    "bitpick diagnose model.keras --recipe onnxruntime:u8u8-per_tensor-minmax --apply": RESNET,
    "bitpick search model.keras --goal size --minutes 1 --engine onnxruntime --no-bench": RESNET,
    "bitpick diagnose model.keras --recipe onnxruntime:u8u8-per_tensor-minmax --data cifar10 --apply": RESNET,
}
"""What is not run, with why."""

THE_RUN = "bitpick compare --engine onnxruntime --engine openvino --no-bench --target host --out run"
"""Run once: what it leaves is what other commands start from."""


def bitpick(command: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Run a command; what it would check under emulation by itself is left to tests/end_to_end/test_main_job.py."""
    if command.startswith("bitpick compare ") and "--target" not in command:
        command += " --target host"
    return forked.bitpick(shlex.split(command)[1:], place, os.environ | {"COLUMNS": "120"})


def some_data(place: Path, cifar10: Dataset) -> None:
    """The data sets of the page about data, small ones."""
    pixels, labels = cifar10.evaluation.inputs["image"][:300], np.asarray(cifar10.evaluation.labels[:300])
    for number, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = place / "photos" / cifar10.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{number}.png")
    (place / "names.txt").write_text("\n".join(cifar10.classes))
    (place / "data.yaml").write_text("data: photos\nsplit: 0.5\n")
    np.savez(place / "set.npz", image=pixels, kind=labels)
    linear_model(place / "sensors.onnx", shape=(2,), classes=2)
    rows = [f"{i % 30},{1000 + i % 7},{'high' if i % 30 > 15 else 'low'}" for i in range(100)]
    (place / "sensors.csv").write_text("\n".join(["temperature,pressure,state", *rows]))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, cifar10, cifar_model) -> Path:
    """What the docs take to be there, under the names that they give it.

    model.onnx is a linear classifier, so that builds of it take a second, and build and quantized.onnx are of it;
    model.keras is the bundled ResNet8, and run and released-run are of that.
    """
    place = tmp_path_factory.mktemp("docs")
    shutil.copyfile(cifar_model, place / "model.onnx")
    shutil.copyfile(bundled_model().with_suffix(".keras"), place / "model.keras")
    some_data(place, cifar10)
    (place / "my-recipe.yaml").write_text(blocks(TEXTS["README.md"], "yaml")[0])
    program = blocks(TEXTS["docs/how-to/pytorch.md"], "python")[-1]
    subprocess.run([sys.executable, "-c", program], cwd=place, check=True)
    for command in (THE_RUN, "bitpick quantize model.onnx --recipe my-recipe.yaml -o build"):
        done = bitpick(command, place)
        assert done.returncode == 0, done.stderr
    shutil.copyfile(place / "build" / "model.onnx", place / "quantized.onnx")
    assert bitpick("bitpick samples run --out given --count 20", place).returncode == 0
    alone.results(place / "run" / "builds" / "onnxruntime__float32", place / "given", place / "results.json")
    shutil.copytree(place / "run", place / "released-run")
    shutil.copyfile(place / "my-recipe.yaml", place / "run" / "next_recipe.yaml")
    return place


@pytest.fixture
def place(prepared, tmp_path) -> Path:
    """A folder of its own with all of that."""
    return shutil.copytree(prepared, tmp_path / "place")


def parsed(command: str) -> dict[str, Any]:
    """A command's arguments, each of its type; the whole line must be consumed."""
    _, name, *words = shlex.split(command)
    return typer.main.get_command(app).commands[name].make_context(name, words).params


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_parses(command):
    arguments = parsed(command)
    named = arguments.get("recipe") or ()
    for recipe in (named,) if isinstance(named, str) else named:
        if not recipe.endswith(".yaml"):
            known = Recipe.parse(recipe)
            assert engines()[known.engine].refusal(known) is None
    assert set(arguments.get("engine") or ()) <= set(engines())


@pytest.mark.data
@pytest.mark.frameworks
@pytest.mark.parametrize("command", [each for each in COMMANDS if each not in (*PARSED, THE_RUN)])
@pytest.mark.shared_store
def test_a_command_runs(command, place):
    out = parsed(command).get("out")
    if out is not None and (place / out).exists():
        shutil.rmtree(place / out)
    done = bitpick(command, place)
    no = done.returncode == 1 and shlex.split(command)[1] == "gate" and "FAIL" in done.stdout  # an answer, too
    assert done.returncode == 0 or no, done.stderr
    assert done.stdout
    assert out is None or (place / out).exists()


def test_only_what_is_shown_is_left_out():
    assert set(PARSED) <= set(COMMANDS)
    assert THE_RUN in COMMANDS


@pytest.mark.parametrize("page", [page for page, text in TEXTS.items() if mentions(text)])
def test_a_command_in_the_text_has_these_options(page):
    known = typer.main.get_command(app).commands
    for mention in mentions(TEXTS[page]):
        _, name, *words = mention.split()
        options = {option for parameter in known[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options | {"--help"}, mention


def test_the_readme_names_every_command():
    shown = {shlex.split(command)[1] for command in commands(TEXTS["README.md"])}
    assert shown == set(typer.main.get_command(app).commands)


GUIDES = tuple(f"docs/how-to/adding-{what}.md" for what in ("an-engine", "a-pass", "a-target"))
ELSEWHERE = ("README.md", *GUIDES)  # tests/test_docs.py runs the examples of these
EXAMPLES = [page for page, text in TEXTS.items() if blocks(text, "python") and page not in ELSEWHERE]
TIMED = (
    "bitpick compare model.onnx --recipe onnxruntime:s8u8-per_channel-minmax --target host --bench-seconds 5 --out run"
)


@pytest.mark.data
@pytest.mark.frameworks
@pytest.mark.usefixtures("no_emulator")
@pytest.mark.parametrize("page", EXAMPLES)
@pytest.mark.shared_store
def test_a_python_example_runs(page, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    for code in blocks(TEXTS[page], "python"):
        if "timings.json" in code:
            done = bitpick(f"{TIMED} --overwrite", place)
            assert done.returncode == 0, done.stderr
        exec(compile(code, page, "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out
