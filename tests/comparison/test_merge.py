"""Results that come back from a device, by the build's own `run.py`, which here runs on this machine."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from bitpick.api import runs
from bitpick.errors import DataError, OutputError, RequestError
from bitpick.pipeline import directory as stores
from bitpick.pipeline.directory import RunDirectory
from tests import alone

BUILD = "fake:s8s8-per_tensor-minmax"
OTHER = "fake:s8u8-per_channel-minmax"


@pytest.fixture
def root(finished, tmp_path):
    """The directory of a finished run, to be changed."""
    return shutil.copytree(finished.directory.root, tmp_path / "run")


@pytest.fixture
def measured(root, tmp_path):
    """What a build gives for some evaluation samples; changed, where asked for."""

    def run(recipe=BUILD, change=None, name="results.json", count=50, root=root):
        samples = tmp_path / f"samples-{count}"
        if not samples.exists():
            runs.samples(root, samples, count, trust_run=True)
        out = tmp_path / name
        found = alone.results(RunDirectory(root, None).build(recipe), samples, out)
        if change is not None:
            change(found)
            out.write_text(json.dumps(found))
        return out

    return run


def folder_of(root) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_results_become_a_row_that_is_judged_and_recommended(root, measured, finished):
    found = runs.merge(root, [measured()], "my-phone")
    row = found.run.row(f"{BUILD}@my-phone")
    native = found.run.row(BUILD)
    assert (row.measured, row.status, row.target, row.samples) == ("imported", "ok", "my-phone", 50)
    assert row.files == native.files
    places = np.linspace(0, 599, 50).astype(int)
    here = stores.predictions(root / "builds" / "fake__s8s8-per_tensor-minmax")
    right = np.asarray(finished.data.evaluation.labels)[places]
    assert row.accuracy.correct == (here[places] == right).sum()
    assert row.metric.value == row.accuracy.value
    assert (row.versus_native.flips, row.versus_native.samples, row.versus_native.drop) == (0, 50, 0)
    assert row.flags == []
    assert row.latency is None
    assert row.device.runs == 100
    assert 0 < row.device.p50 <= row.device.p90
    assert found.recommendation.by_target["my-phone"] == BUILD
    (told,) = [reason for reason in found.recommendation.because if "my-phone" in reason]
    assert told.startswith("On my-phone (imported, 50 samples) ")
    assert told.endswith("µs there (median of 100 runs, 1 thread).")
    assert stores.read(root) == found.run
    for report in ("report.md", "report.html"):
        assert "my-phone (imported, " in (root / report).read_text()
    ids = [each.id for each in found.rows]
    assert ids.index(row.id) == ids.index(BUILD) + 1


def test_the_same_results_again_change_nothing(root, measured):
    path = measured()
    runs.merge(root, [path], "my-phone")
    before = folder_of(root)
    runs.merge(root, [path], "my-phone")
    after = folder_of(root)
    assert {name for name in before if before[name] != after[name]} <= {
        name
        for name in before
        if name.endswith("predictions@my-phone.npz")  # a zip has the time in it
    }
    assert before.keys() == after.keys()


def test_other_results_replace_them_only_where_that_is_asked_for(root, measured):
    runs.merge(root, [measured()], "my-phone")
    later = measured(name="later.json", count=20)
    before = (root / "run.json").read_bytes()
    with pytest.raises(OutputError, match="imported before"):
        runs.merge(root, [later], "my-phone")
    assert (root / "run.json").read_bytes() == before
    again = runs.merge(root, [later], "my-phone", overwrite=True)
    assert again.run.row(f"{BUILD}@my-phone").samples == 20
    assert len([reason for reason in again.recommendation.because if "my-phone" in reason]) == 1
    another = runs.merge(root, [measured()], "my-tablet")
    assert {"my-phone", "my-tablet"} <= another.recommendation.by_target.keys()


def test_a_build_that_predicts_otherwise_there_is_flagged_and_not_recommended(root, measured):
    def change(found):
        for sample in found["samples"][:7]:
            sample["outputs"] = [[-value for value in sample["outputs"][0]]]

    found = runs.merge(root, [measured(change=change)], "my-phone")
    row = found.run.row(f"{BUILD}@my-phone")
    assert 0 < row.versus_native.flips <= 7
    assert [flag.code for flag in row.flags] == ["differs"]
    assert "my-phone" not in found.recommendation.by_target
    better = runs.merge(root, [measured(OTHER, name="other.json")], "my-phone")
    assert better.recommendation.by_target["my-phone"] == OTHER


def test_several_builds_come_at_once(root, measured):
    found = runs.merge(root, [measured(), measured(OTHER, name="other.json")], "my-phone")
    assert sum(row.target == "my-phone" for row in found.rows) == 2
    with pytest.raises(RequestError, match="two of the files are of the same build"):
        runs.merge(root, [measured(), measured(name="again.json")], "a-tablet")


def test_results_without_times_say_nothing_of_speed(root, measured):
    found = runs.merge(root, [measured(change=lambda found: found.pop("latency"))], "my-phone")
    assert found.run.row(f"{BUILD}@my-phone").device.p50 is None
    assert "µs there" not in " ".join(found.recommendation.because)


def test_the_same_comparison_again_keeps_what_was_imported(compare, measured):
    compare(out="twice")
    root = compare.directory.root
    before = runs.merge(root, [measured(root=root)], "my-phone").run
    after = compare(out="twice")
    assert after.row(f"{BUILD}@my-phone") == before.row(f"{BUILD}@my-phone")
    assert after.recommendation == before.recommendation
    assert [row.id for row in after.rows] == [row.id for row in before.rows]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f: f.update(recipe="fake:nothing"), "is of the build fake:nothing, which this run does not have"),
        (lambda f: f["files"].update({"model.npz": "0" * 64}), "another build.*: model.npz is not the same"),
        (lambda f: f.update(settings={"a": "b"}), "another build.*: the session settings are not the same"),
        (lambda f: f["samples"][3].update(digest="0" * 32), "03.*npy is not one of the samples"),
        (lambda f: f["samples"].append(f["samples"][0]), "is there more than once"),
        (lambda f: f.update(samples=[]), "holds no results: samples"),
        (lambda f: f.update(schema_version=2), "holds no results: schema_version"),
        (lambda f: f["samples"][0].update(outputs=[[1.0]]), "the outputs in .* cannot be read"),
        (lambda f: [s.update(outputs=[[1.0]]) for s in f["samples"]], r"outputs of the shapes \[\(1,\)\]"),
        (lambda f: f["samples"][0]["outputs"][0].__setitem__(0, float("inf")), "not finite"),
    ],
)
def test_what_is_not_of_this_run_is_refused(root, measured, change, told):
    path = measured(change=change)
    before = folder_of(root)
    with pytest.raises(DataError, match=told) as caught:
        runs.merge(root, [path], "my-phone")
    assert len(caught.value.what.splitlines()) == 1
    assert folder_of(root) == before


def test_wrong_requests_are_refused(root, measured, tmp_path):
    path = measured()
    for name in ("host", "x86-avx2", "my phone", ""):
        with pytest.raises(RequestError, match="--target is"):
            runs.merge(root, [path], name)
    with pytest.raises(DataError, match="cannot be read"):
        runs.merge(root, [tmp_path / "none.json"], "my-phone")
    with pytest.raises(OutputError, match="holds no run"):
        runs.merge(tmp_path / "nowhere", [path], "my-phone")
    run = stores.read(root)
    RunDirectory(root, run.model_copy(update={"state": "running"})).save()
    with pytest.raises(OutputError, match="still goes on"):
        runs.merge(root, [path], "my-phone")


def test_a_run_that_lost_what_is_needed_says_so(root, measured):
    path = measured()
    kept = root / "forms" / "evaluation.npz"
    content = kept.read_bytes()
    kept.unlink()
    with pytest.raises(OutputError, match="does not say which samples"):
        runs.merge(root, [path], "my-phone")
    kept.write_bytes(content[:-1] + b"x")
    with pytest.raises(OutputError, match=r"evaluation\.npz changed since it was written"):
        runs.merge(root, [path], "my-phone")
    kept.write_bytes(content)
    (root / "builds" / "fake__s8s8-per_tensor-minmax" / "predictions.npz").unlink()
    with pytest.raises(OutputError, match="no longer has what the build"):
        runs.merge(root, [path], "my-phone")


def test_a_run_that_was_moved_to_a_machine_without_its_data_still_takes_results(compare, measured, dataset, tmp_path):
    compare(out="here")
    path = measured(root=compare.directory.root)
    elsewhere = shutil.move(compare.directory.root, tmp_path / "elsewhere")
    for file in dataset.evaluation.paths.values():
        file.unlink()
    assert runs.merge(elsewhere, [path], "my-phone").run.row(f"{BUILD}@my-phone").status == "ok"
