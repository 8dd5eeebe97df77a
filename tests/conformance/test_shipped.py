"""What builds of every engine ship with: a program that runs them with their runtime alone, and says the same.

One comparison makes a float32 and a quantized build of each engine; each then runs by its own `run.py`, in a process
that has no bitpick and no other runtime, and what that writes comes back as a row.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from bitpick.api import runs
from bitpick.comparison.compare import Comparison
from bitpick.datasets.dataset import Dataset, Split
from bitpick.engines.registry import engines
from bitpick.models.source import Source
from bitpick.pipeline import directory as stores
from bitpick.pipeline.directory import RunDirectory
from bitpick.pipeline.listener import Silent
from bitpick.pipeline.request import make_request, new_run
from bitpick.recipe import Recipe
from bitpick.schema.run import Row
from bitpick.targets.host import this_host
from tests import alone

COUNT = 40
CLASSES = ("ant", "bee", "cow", "dog")
OTHERS = (
    "executorch:s8s8-per_channel-histogram",
    "litert:s8s8-per_channel-minmax+integer_io",
    "onnxruntime:s8u8-per_channel-minmax+x64quantprecision",
    "openvino:s8u8-per_channel-minmax",
    "pytorch_fx:s8u8-per_channel-histogram+onednn",
    "pytorch_pt2e:s8u8-per_channel-histogram",
    "pytorch_pt2e:float32+eager",
)
BUILDS = [*(f"{name}:float32" for name, each in engines().items() if each.runner), *OTHERS]
MODELS = {"one": "make_keras_model", "two": "make_two_ended_model"}  # with as many inputs and outputs
OTHER_MODELS = {
    "legacy": "make_legacy_model",
    "program": "make_program",
    "saved": "make_saved_model",
    "sequential": "make_sequential_model",
}
SUFFIXES = {"legacy": ".h5", "program": ".pt2"}
CASES = [
    *itertools.product(MODELS, BUILDS),
    *itertools.product(("legacy", "saved", "sequential"), ("keras:float32", OTHERS[2])),
    *itertools.product(("program",), ("pytorch_pt2e:float32+eager", OTHERS[2])),
]
BASELINES = [(model, recipe) for model, recipe in CASES if recipe.endswith(":float32") and model in MODELS]

pytestmark = pytest.mark.frameworks


@pytest.fixture(scope="module")
def run_of(workers, tmp_path_factory) -> Callable[[str], Path]:
    """The run directory of a model, made once; some of its evaluation samples are beside it."""

    @functools.cache
    def root(model: str) -> Path:
        folder = tmp_path_factory.mktemp(model)
        source = (folder / "model").with_suffix(SUFFIXES.get(model, ".keras"))
        environment = "pytorch" if model == "program" else "keras"
        workers.run(environment, f"steps:{(MODELS | OTHER_MODELS)[model]}", {"out": str(source)})
        request, form = make_request(
            Source(str(source), trusted=True),
            "random",
            recipes=[recipe for each, recipe in CASES if each == model],
            calibration_size=100,
            targets=["host"],
            bench_seconds=0,
            accept_baseline=True,  # the labels are random
        )
        names = ("image", "numbers") if model == "two" else ("image",)
        data = Dataset("random", CLASSES, made(folder, "train", names), made(folder, "test", names))
        store = RunDirectory(folder / "run", new_run(request, form, this_host(), 2, "compare"))
        Comparison(store, this_host(), workers, 2, Silent()).compare(lambda _: data)
        runs.samples(store.root, folder / "samples", COUNT, trust_run=True)
        return store.root

    return root


@pytest.fixture(scope="module")
def process_of() -> Iterator[Callable[[str], alone.Process]]:
    """The process in which builds of an engine run alone."""
    made: dict[str, alone.Process] = {}

    def process(recipe: str) -> alone.Process:
        engine = Recipe.parse(recipe).engine
        if engine not in made:
            made[engine] = alone.Process()
        return made[engine]

    yield process
    for each in made.values():
        each.close()


def made(folder: Path, name: str, inputs: tuple[str, ...]) -> Split:
    """A split of 200 random samples."""
    rng = np.random.default_rng(len(name))
    stored = {
        "image": rng.integers(0, 256, (200, 8, 8, 3), dtype=np.uint8),
        "numbers": rng.normal(size=(200, 2)).astype(np.float32),
        "labels": rng.integers(0, 4, 200, dtype=np.uint8),
    }
    paths = {each: folder / f"{name}_{each}.npy" for each in stored}
    for each, array in stored.items():
        np.save(paths[each], array)
    return Split({each: paths[each] for each in inputs}, paths["labels"], name)


def build_of(root: Path, recipe: str) -> tuple[Row, Path]:
    """The row of a build, and its folder."""
    run = stores.read(root)
    row = run.row(recipe)
    assert row is not None
    assert row.status == "ok", row.reason
    return row, RunDirectory(root, run).build(recipe)


def test_every_engine_is_here():
    assert {Recipe.parse(recipe).engine for recipe in BUILDS} == set(engines())


@pytest.mark.parametrize(("model", "recipe"), CASES)
def test_a_build_runs_alone_and_comes_back_as_a_row(run_of, process_of, model, recipe):
    root = run_of(model)
    native, folder = build_of(root, recipe)
    ships = yaml.safe_load((folder / "recipe.yaml").read_text())
    assert sum((folder / name).stat().st_size for name in ships["files"]) == native.size_bytes
    assert (folder / "labels.txt").read_text().splitlines() == list(CLASSES)

    files = sorted((root.parent / "samples").iterdir())
    places = [int(path.stem) for path in files]
    answers = stores.predictions(folder)[places]
    done = process_of(recipe).run_py(folder, files[3])
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == CLASSES[answers[3]]

    path = root.parent / f"{recipe.replace(':', '_')}.json"
    found = alone.results(folder, files[0].parent, path, process_of(recipe))
    assert found["settings"] == (native.settings or {}) == ships.get("session", {})
    assert set(found["versions"]) > {"numpy"}
    # One sample at a time and many at once round differently, and a rounding may cross a step of 1/256.
    tolerance = 1e-5 if native.kind == "baseline" else 2 / 256
    for number, output in enumerate(stores.outputs(folder)):
        given = np.array([each["outputs"][number] for each in found["samples"]])
        np.testing.assert_allclose(given, output[places], atol=tolerance * max(1, np.abs(output).max()))

    row = runs.merge(root, [path], "device").run.row(f"{recipe}@device")
    assert (row.measured, row.status, row.samples) == ("imported", "ok", COUNT)
    assert row.versus_native.flips <= 1
    assert row.device.runs == 100


@pytest.mark.parametrize(("model", "recipe"), BASELINES)
def test_a_wrong_shape_is_told_in_one_line(run_of, process_of, tmp_path, model, recipe):
    wrong = np.zeros((7, 8, 3), np.uint8)
    path = tmp_path / ("wrong.npy" if model == "one" else "wrong.npz")
    if model == "one":
        np.save(path, wrong)
    else:
        np.savez(path, image=wrong, numbers=np.zeros(2, np.float32))
    done = process_of(recipe).run_py(build_of(run_of(model), recipe)[1], path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last == f"run.py: {path.name}: image has shape (7, 8, 3), and this build takes (8, 8, 3)"


def test_the_c_array_of_a_litert_build_is_its_file(run_of):
    _, folder = build_of(run_of("two"), "litert:s8s8-per_channel-minmax+integer_io")
    text = (folder / "model_data.cc").read_text()
    numbers = [int(word.rstrip(","), 16) for word in text.split() if word.startswith("0x")]
    assert bytes(numbers) == (folder / "model.tflite").read_bytes()
