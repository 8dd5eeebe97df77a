"""A run directory that someone else made: what it names is not run, not read elsewhere, and not written elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitpick.api import runs
from bitpick.artifacts import watch
from bitpick.errors import DataError, OutputError
from bitpick.models.model import sha256_of
from tests.comparing import Comparer
from tests.hostile.conftest import BUILD, FOLDER, Scene

OUT = ("../canary/secret.txt", "builds/../../canary/secret.txt", "{canary}/secret.txt", "builds/..", "")


def place(text: str, scene: Scene) -> str:
    return text.format(canary=scene.canary)


def read_commands(scene: Scene) -> dict[str, Callable[[], object]]:
    """What reads a run without writing to what it names."""
    return {
        "report": lambda: runs.report(scene.run),
        "gate": lambda: runs.gate(scene.run, max_drop=50),
        "samples": lambda: runs.samples(scene.run, scene.run / "given", 5),
        "merge": lambda: runs.merge(scene.run, [scene.results], "phone"),
        "against": lambda: runs.gate(scene.run, against=scene.run),
    }


COMMANDS = ("report", "gate", "samples", "merge", "against")

# Fields of run.json that name a file or a folder.
NAMES: dict[str, Callable[[dict[str, Any], str], object]] = {
    "row": lambda run, path: row(run).update(id=path),
    "recipe": lambda run, path: row(run).update(recipe=path),
    "target": lambda run, path: row(run).update(target=path),
    "file": lambda run, path: row(run)["files"][0].update(path=path),
    "form": lambda run, path: next(iter(run["model"]["forms"].values())).update(path=path),
    "example": lambda run, path: run.update(examples=[{"sample": 0, "image": path, "label": "ant", "predictions": {}}]),
    "pick": lambda run, path: run["recommendation"].update(id=path),
}


def row(run: dict[str, Any]) -> dict[str, Any]:
    return next(row for row in run["rows"] if row["id"] == BUILD)


@pytest.mark.parametrize("path", OUT)
@pytest.mark.parametrize("name", NAMES)
def test_no_name_in_run_json_leads_out_of_the_run(scene, name, path):
    scene.change(lambda run: NAMES[name](run, place(path, scene)))
    for command in read_commands(scene).values():
        refusal = scene.refused(command, "cannot read")
        assert "is not a p" in str(refusal)  # a plain name, a path inside


@pytest.mark.parametrize(
    "name", ["builds", FOLDER, "forms", "report.md", "run.json", f"{FOLDER}/predictions.npz", "logs/x"]
)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_link_in_a_run_is_followed(scene, command, name):
    given = read_commands(scene)
    scene.link(name, scene.canary if "." not in Path(name).name else scene.canary / "secret.txt")
    scene.refused(given[command], "is a symbolic link to", f"outside {scene.run}")


def test_a_link_that_waits_for_a_temporary_file_is_not_written_through(scene):
    scene.link(f"{FOLDER}/partial-predictions@phone.npz", "../../../canary/secret.txt")
    scene.refused(lambda: runs.merge(scene.run, [scene.results], "phone"), "is a symbolic link")


@pytest.mark.parametrize(
    "name", ["builds", "forms", "logs", "report.html", f"{FOLDER}/model.npz", "ranges", "examples"]
)
def test_a_run_is_not_continued_through_a_link(scene, finished, name):
    again = Comparer(finished._model, scene.data, scene.root)
    scene.link(name, scene.canary)
    scene.refused(again, "is a symbolic link to", f"outside {scene.run}")


@pytest.mark.parametrize("name", ["builds", "forms", "report.html", "logs"])
@pytest.mark.parametrize("target", ["../canary", "../canary/new"])
def test_a_run_is_replaced_beside_its_links_and_not_through_them(scene, finished, name, target):
    again = Comparer(finished._model, scene.data, scene.root)
    scene.link(name, target)
    assert scene.harmless(lambda: again(overwrite=True)).error is None
    assert not (scene.run / name).is_symlink()
    runs.report(scene.run)


CODE = ("evil_metric:metric", "code:metric", "os:system", "os.path:join")


def custom(path: str) -> np.ndarray[Any, Any]:
    return np.array(json.dumps({"kind": "custom", "path": path, "outputs": ["scores"], "name": "m", "unit": ""}))


@pytest.mark.parametrize("path", CODE)
def test_a_metric_that_a_run_names_is_not_imported(scene, path, monkeypatch):
    monkeypatch.syspath_prepend(str(scene.canary))
    scene.change_evaluation(task=custom(path))
    scene.refused(lambda: runs.merge(scene.run, [scene.results], "phone"), path, "which is code", "--trust-run")
    for command in ("report", "gate"):
        assert scene.harmless(read_commands(scene)[command]).error is None


def test_a_metric_is_imported_if_the_user_says_so(scene):
    """The canary tells what it should: the tests above would see it."""
    scene.change_evaluation(task=custom("evil_metric:metric"))
    with contextlib.suppress(Exception):  # its answers are not those of a classification
        runs.merge(scene.run, [scene.results], "phone", trust_run=True)
    assert (scene.canary / "pwned").read_text() == "code ran"


def test_a_metric_that_is_no_custom_one_names_no_code(scene):
    scene.change_evaluation(
        task=np.array(json.dumps({"kind": "classification", "classes": ["a"], "path": "os:system"}))
    )
    scene.refused(lambda: runs.merge(scene.run, [scene.results], "phone"), "which samples it was evaluated on")


@pytest.mark.parametrize("field", ["inputs", "labels", "indices"])
@pytest.mark.parametrize("path", ["{canary}/secret.npy", "../canary/secret.npy", "/dev/zero", "/proc/self/mem"])
def test_samples_elsewhere_are_not_read(scene, field, path):
    path = place(path, scene)
    np.save(scene.run / "forms" / "own.npy", np.zeros((600, 4, 4, 3), np.uint8))
    own = str(scene.run / "forms" / "own.npy")
    scene.change_evaluation(**{"inputs": [own], "labels": own, field: [path] if field == "inputs" else path})
    scene.refused(lambda: runs.samples(scene.run, scene.run / "given", 5), path, "--trust-run")
    assert not (scene.run / "given").exists()


def test_a_link_to_samples_elsewhere_is_not_read(scene):
    scene.link("forms/samples.npy", "../../canary/secret.npy")
    scene.change_evaluation(inputs=[str(scene.run / "forms" / "samples.npy")])
    scene.refused(lambda: runs.samples(scene.run, scene.run / "given", 5), "is a symbolic link")


@pytest.mark.parametrize("name", ["digests", "targets", "names", "task", "samples"])
def test_a_pickle_in_a_run_is_not_opened(scene, name, pickled):
    path = scene.run / "forms" / "evaluation.npz"
    with np.load(path) as file:
        arrays = dict(file) | {name: pickled}
    np.savez(path, **arrays)
    run = json.loads((scene.run / "run.json").read_text())
    watch.seal(path, run["data"]["evaluation"]["sha256"])
    scene.refused(lambda: runs.samples(scene.run, scene.run / "given", 5), "does not say which samples")


def test_a_pickle_of_predictions_is_not_opened(scene, pickled):
    file = scene.build / "predictions.npz"
    np.savez(file, predictions=pickled, output0=pickled)
    scene.change_row(lambda row: row.update(predictions_sha256=sha256_of(file)))
    scene.refused(lambda: runs.merge(scene.run, [scene.results], "phone"), "no longer has what the build")


IMPOSSIBLE: dict[str, Callable[[dict[str, Any]], object]] = {
    "negative time": lambda found: found["latency"]["nanoseconds"].__setitem__(0, -1),
    "batch of none": lambda found: found["latency"].update(batch=0),
    "negative batch": lambda found: found["latency"].update(batch=-3),
    "no thread": lambda found: found["latency"].update(threads=0),
    "a fraction of a nanosecond": lambda found: found["latency"]["nanoseconds"].__setitem__(0, 0.5),
    "another schema": lambda found: found.update(schema_version=2),
    "no samples": lambda found: found.update(samples=[]),
    "a sample that is text": lambda found: found["samples"][0].update(outputs=["__import__('os')"]),
    "nan": lambda found: found["samples"][0]["outputs"][0].__setitem__(0, float("nan")),
    "a build elsewhere": lambda found: found.update(recipe="../../canary"),
    "a file elsewhere": lambda found: found.update(files={"../../../canary/secret.txt": "0" * 64}),
    "a setting": lambda found: found.update(settings={"session.optimized_model_filepath": "x"}),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_impossible_results_are_refused_and_nothing_is_written(scene, name):
    path = scene.results
    found = json.loads(path.read_text())
    IMPOSSIBLE[name](found)
    path.write_text(json.dumps(found))
    before = (scene.run / "run.json").read_bytes()
    error = scene.refused(lambda: runs.merge(scene.run, [path], "phone"), str(path))
    assert isinstance(error, DataError)
    assert (scene.run / "run.json").read_bytes() == before
    assert not list(scene.run.rglob("*@phone*"))


@pytest.mark.parametrize("name", ["../x", "a/b", "", "host", "x" * 65, "a\nb", "\x1b[2J"])
def test_a_device_has_a_plain_name(scene, name):
    scene.refused(lambda: runs.merge(scene.run, [scene.results], name), "expected: a new name")


def test_an_honest_run_is_read_and_added_to(scene):
    """The same commands on the run as it was, so that the refusals above are about what was changed in it."""
    for name in COMMANDS:
        if name != "samples":
            assert scene.harmless(read_commands(scene)[name]).error is None, name
    assert runs.merge(scene.run, [scene.results], "phone").run.row(f"{BUILD}@phone").status == "ok"


def test_what_is_written_has_the_permissions_that_the_user_wants(scene, finished):
    before = os.umask(0o077)
    try:
        again = Comparer(finished._model, scene.data, scene.root)
        again(out="private")
        runs.report(scene.root / "private")
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in (scene.root / "private").rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (scene.root / "private").rglob("*") if path.is_dir()} == {0o700}


def test_a_run_that_is_not_there_is_refused(scene):
    with pytest.raises(OutputError, match="holds no run"):
        runs.report(scene.canary)
