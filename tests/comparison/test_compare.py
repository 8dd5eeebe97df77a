"""A whole comparison with the fake engine, in this process."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from bitpick.comparison import compare as module
from bitpick.engines.fake.engine import FakeEngine
from bitpick.errors import (
    DataError,
    ModelError,
    RecipeError,
    RequestError,
    RunError,
    UnexpectedError,
)
from bitpick.pipeline import directory as stores
from bitpick.pipeline.build_job import open_build
from tests.conftest import linear_model
from tests.recording import RecordingExecutor


def interrupt(*_):
    raise KeyboardInterrupt


def test_rows_are_measured_on_their_files_and_one_is_recommended(finished):
    run = finished.directory.run
    assert run.state == "complete"
    assert {row.id: row.status for row in run.rows} == {
        "fake:float32": "ok",
        "fake:s8s8-per_tensor-minmax": "ok",
        "fake:s8u8-per_channel-minmax": "ok",
        "fake:u8u8-per_tensor-minmax": "unsupported",
    }
    floats = run.row("fake:float32")
    with np.load(finished.directory.root / "builds" / "fake__float32" / "predictions.npz") as file:
        predicted = file["predictions"]
    targets = np.asarray(finished.data.evaluation.labels)
    assert floats.accuracy.correct == (predicted == targets).sum()
    assert floats.accuracy.total == 600
    assert floats.accuracy.per_class["cow"] == pytest.approx((predicted == targets)[targets == 2].mean())
    assert floats.versus_baseline is None
    build = run.row("fake:s8u8-per_channel-minmax")
    assert build.versus_baseline.baseline == "fake:float32"
    assert build.versus_baseline.drop == (floats.accuracy.correct - build.accuracy.correct) / 600
    assert build.size_ratio == build.size_bytes / floats.size_bytes
    assert run.row("fake:u8u8-per_tensor-minmax").reason.startswith("fake does not have dtypes u8u8")
    assert run.recommendation.id in ("fake:s8s8-per_tensor-minmax", "fake:s8u8-per_channel-minmax")
    assert finished.executor.closed


def test_the_run_records_model_data_and_host(finished):
    run = finished.directory.run
    assert (run.model.parameters, run.model.macs) == (48 * 4 + 4, 48 * 4)
    assert [(hop.name, hop.passed) for hop in run.model.hops] == [("raw_onnx → onnx", True)]
    assert run.model.hops[0].top1_agreement == 1.0
    assert run.model.hops[0].rms_diff <= run.model.hops[0].bound
    assert run.data.evaluation.count == 600
    assert run.data.calibration.count == sum(run.data.calibration.per_class.values()) == 100
    assert run.host.cores >= 1
    assert "numpy" in run.host.versions


def test_no_quantized_row_is_a_failed_run_that_is_recorded(compare):
    with pytest.raises(RunError, match="no quantized row is ok"):
        compare("fake:s8u8-per_tensor-minmax+absent")
    run = stores.read(compare.directory.root)
    assert run.recommendation.id is None
    assert run.error.what.startswith("no quantized row is ok")


def test_a_run_that_breaks_unforeseen_says_so_and_keeps_the_traceback(compare, monkeypatch):
    def broken(*_):
        raise KeyError("state")

    with monkeypatch.context() as patch:
        patch.setattr("bitpick.comparison.compare.evaluation_set.keep", broken)
        with pytest.raises(UnexpectedError, match="an unexpected error: KeyError: 'state'") as raised:
            compare()
    run = stores.read(compare.directory.root)
    assert (run.state, run.error.kind, run.error.logs) == ("failed", "UnexpectedError", "logs")
    assert run.error.what == raised.value.what
    assert "Traceback" in (compare.directory.root / "logs" / "bitpick.log").read_text()
    assert compare().error is None  # what failed once may go on


@pytest.mark.parametrize("selection", ["simultaneous", "cross-fit"])
def test_how_the_choice_was_kept_honest_is_recorded(compare, selection):
    run = compare("fake:s8u8-per_channel-minmax", selection=selection)
    found = run.recommendation
    assert run.request.selection == found.selection == selection
    assert found.id == "fake:s8u8-per_channel-minmax"
    if selection == "simultaneous":
        assert found.folds is None
        assert "all tested at once" in found.because[1]
    else:
        assert [(fold.chosen, fold.choosing, fold.confirmed) for fold in found.folds] == [(found.id, 300, True)] * 2
        assert found.because[0].startswith("Cross-fit: each half of the samples chooses fake:s8u8")
        assert found.held_out_drop == pytest.approx(run.row(found.id).versus_baseline.drop)
        assert found.by_use["accuracy"] == found.id


def test_asked_recipes_replace_the_preset_and_the_baseline_runs_all_the_same(compare):
    run = compare("fake:s8u8-per_tensor-minmax", engines=())
    assert [row.id for row in run.rows] == ["fake:float32", "fake:s8u8-per_tensor-minmax"]


def test_the_same_request_continues_where_it_was_stopped(compare):
    with pytest.raises(KeyboardInterrupt):
        compare(executor=RecordingExecutor("evaluate fake:s8u8"))
    stopped = stores.read(compare.directory.root)
    assert stopped.state == "interrupted"
    assert compare.executor.closed
    done = {row.id for row in stopped.rows if row.status == "ok"}
    assert done == {"fake:float32", "fake:s8s8-per_tensor-minmax"}
    run = compare()
    assert run.state == "complete"
    assert not [job for job in compare.executor.ran for row_id in done if row_id in job]
    assert not [job for job in compare.executor.ran if job.startswith(("convert", "verify"))]
    again, before = (r.row("fake:s8s8-per_tensor-minmax").model_dump() for r in (run, stopped))
    assert again.pop("versus_baseline")["noninferior"] is not None  # claimed when all rows were there
    before.pop("versus_baseline")
    assert again == before
    assert [hop.name for hop in run.model.hops] == ["raw_onnx → onnx"]


def forget(build: str) -> None:
    """Remove what the store has of a job."""
    for note in Path(os.environ["BITPICK_STORE"]).glob("*/*/artifact.json"):
        if build in "".join(path.name for path in note.parent.rglob("*")):
            shutil.rmtree(note.parent)


def test_a_changed_build_is_what_it_was_again(compare):
    before = compare()
    file = compare.directory.root / "builds" / "fake__float32" / "model.npz"
    content = file.read_bytes()
    file.write_bytes(b"changed")
    run = compare()
    assert file.read_bytes() == content
    assert compare.executor.ran == []
    assert run.rows == before.rows


def test_a_changed_build_that_the_store_has_no_more_is_made_again(compare):
    compare()
    (compare.directory.root / "builds" / "fake__float32" / "model.npz").write_bytes(b"changed")
    forget("fake__float32")
    run = compare()
    assert compare.executor.ran == ["build fake:float32"]
    assert run.row("fake:float32").status == "ok"


@pytest.mark.parametrize(
    ("field", "value"), [("versions", {"numpy": "1.0"}), ("cpu", "another"), ("isa", ["sse4_2"]), ("threads", 64)]
)
def test_a_run_of_other_libraries_or_another_machine_is_not_continued(compare, field, value):
    compare()
    path = compare.directory.root / "run.json"
    document = json.loads(path.read_text())
    document["host"][field] = value
    path.write_text(json.dumps(document))
    run = compare()
    assert compare.directory.previous is None
    assert len(run.rows) == 4


def test_an_interrupted_continuation_loses_nothing(compare):
    before = compare()

    with pytest.raises(KeyboardInterrupt):
        compare(load=interrupt)
    stopped = stores.read(compare.directory.root)
    assert stopped.state == "interrupted"
    assert stopped.rows == before.rows
    again = compare()
    assert compare.executor.ran == []
    assert again.rows == before.rows


def test_predictions_that_are_gone_are_there_again(compare):
    compare()
    file = compare.directory.root / "builds" / "fake__float32" / "predictions.npz"
    content = file.read_bytes()
    file.unlink()
    assert compare().row("fake:float32").status == "ok"
    assert file.read_bytes() == content


def test_predictions_that_were_edited_are_what_they_were_again(compare):
    before = compare()
    file = compare.directory.root / "builds" / "fake__s8s8-per_tensor-minmax" / "predictions.npz"
    with np.load(file) as arrays:
        other = {name: arrays[name][::-1] for name in arrays.files}
    np.savez(file, **other)
    after = compare()
    assert compare.executor.ran == []
    assert [row.versus_baseline for row in after.rows] == [row.versus_baseline for row in before.rows]


@pytest.mark.parametrize("name", ["run/forms/raw_onnx.onnx", "test_images.npy", "run/forms/onnx.onnx"])
def test_a_file_that_is_replaced_while_a_run_goes_on_ends_it(compare, tmp_path, name):
    """Its rows would be of two models, or of two data sets, under the digest of one."""

    def replace():
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[:-4] + bytes(4))

    with pytest.raises(RunError, match=f"{name} changed while it was in use"):
        compare(executor=RecordingExecutor(after=("build fake:s8s8", replace)))
    run = stores.read(compare.directory.root)
    assert run.state == "failed"
    assert [row.id for row in run.rows if row.status == "ok"] == ["fake:float32"]


def test_a_build_that_is_edited_before_it_is_measured_fails(compare, tmp_path):
    folder = tmp_path / "run" / "builds" / "fake__s8s8-per_tensor-minmax"

    def edit():
        with np.load(folder / "model.npz") as arrays:
            other = {name: arrays[name] * 2 if name.startswith("bias") else arrays[name] for name in arrays.files}
        np.savez(folder / "model.npz", **other)

    run = compare(executor=RecordingExecutor(after=("inspect fake:s8s8", edit)))
    row = run.row("fake:s8s8-per_tensor-minmax")
    assert row.status == "failed"
    assert "model.npz in the build" in row.reason
    assert "changed since it was built" in row.reason


def test_ranges_that_were_not_made_by_this_run_are_made_again(compare, monkeypatch):
    seen = []
    monkeypatch.setattr(FakeEngine, "calibration_key", lambda self, recipe: recipe.calibration)
    monkeypatch.setattr(FakeEngine, "calibrate", lambda self, source, recipe, samples, out: out.write_text("own"))
    real = FakeEngine.build

    def build(self, source, recipe, samples, ranges, folder):
        seen.append(None if ranges is None else ranges.read_text())
        return real(self, source, recipe, samples, ranges, folder)

    monkeypatch.setattr(FakeEngine, "build", build)
    compare()
    assert set(seen) == {None, "own"}
    (file,) = (compare.directory.root / "ranges").glob("*.json")
    file.write_text("foreign")
    seen.clear()
    forget("fake__s8s8-per_tensor-minmax")
    compare()
    assert seen == ["own"]


def test_an_interrupted_overwrite_leaves_nothing_hidden(compare):
    compare(seed=1)
    with pytest.raises(KeyboardInterrupt):
        compare(seed=2, overwrite=True, load=interrupt)
    assert not list(compare.directory.root.glob(".replaced*"))
    assert compare(seed=2).state == "complete"


@pytest.mark.parametrize(
    "stop_at", ["describe", "run_form", "verify", "count", "build fake:float32", "evaluate fake:s8s8"]
)
def test_an_interrupt_in_any_phase_leaves_a_whole_run_json(compare, stop_at):
    with pytest.raises(KeyboardInterrupt):
        compare(executor=RecordingExecutor(stop_at))
    assert stores.read(compare.directory.root).state == "interrupted"
    assert compare.executor.closed
    assert compare().state == "complete"


def wrong_requests(tmp_path, dataset):
    many = linear_model(tmp_path / "many.onnx", classes=7)
    wide = linear_model(tmp_path / "wide.onnx", shape=(8, 8, 3))
    labels = np.array(dataset.evaluation.labels)
    labels[0] = 9
    np.save(tmp_path / "odd_labels.npy", labels)
    odd = dataset.evaluation.__class__(dataset.evaluation.paths, tmp_path / "odd_labels.npy", "x")
    outside = dataset.__class__("tiny", dataset.classes, calibration=dataset.calibration, evaluation=odd)
    return {
        "scores": (DataError, "gives 7 scores, and the data set has 4 classes", {"model": many}),
        "shape": (
            DataError,
            r"takes image \(batch, 8, 8, 3\) float32, and the samples have shape \(4, 4, 3\)",
            {"model": wide},
        ),
        "labels": (DataError, "has the label 9, outside its 4 classes", {"load": lambda _: outside}),
        "size": (DataError, "cannot draw 401 calibration samples from the 400", {"calibration_size": 401}),
    }


@pytest.mark.parametrize("case", ["scores", "shape", "labels", "size"])
def test_a_wrong_request_leaves_nothing_behind(compare, tmp_path, dataset, case):
    kind, says, fields = wrong_requests(tmp_path, dataset)[case]
    with pytest.raises(kind, match=says):
        compare(**fields)
    assert not (tmp_path / "run").exists()
    assert compare.executor.closed


@pytest.mark.parametrize("case", ["scores", "size"])
def test_a_wrong_request_with_overwrite_loses_nothing(compare, tmp_path, dataset, case):
    compare()
    before = {p: p.read_bytes() for p in sorted((tmp_path / "run").rglob("*")) if p.is_file()}
    kind, _, fields = wrong_requests(tmp_path, dataset)[case]
    with pytest.raises(kind):
        compare(overwrite=True, **fields)
    assert {p: p.read_bytes() for p in sorted((tmp_path / "run").rglob("*")) if p.is_file()} == before


def test_overwrite_replaces_another_requests_run(compare, tmp_path):
    first = compare(seed=1)
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(RequestError, match="holds another request's run"):
        compare(seed=2)
    assert stores.read(tmp_path / "run") == first
    second = compare(seed=2, overwrite=True)
    assert second.request.seed == 2
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"
    assert not list((tmp_path / "run").glob(".replaced*"))


def test_a_model_without_scores_is_refused(compare, tmp_path):
    import onnx

    model = onnx.load(linear_model(tmp_path / "m.onnx"))
    del model.graph.node[1:]
    model.graph.output[0].name = "flat"
    del model.graph.output[0].type.tensor_type.shape.dim[1]
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="no score per class"):
        compare(model=tmp_path / "m.onnx")


def test_a_conversion_that_changes_the_model_ends_the_run_and_names_the_node(compare, monkeypatch):
    """Sabotage: the clean graph gets another bias than the raw one."""
    import onnx

    from bitpick.conversion import canonical_onnx

    real = canonical_onnx.convert

    def sabotaged(source, out):
        real(source, out)
        model = onnx.load(out)
        bias = next(i for i in model.graph.initializer if i.name.endswith("bias"))
        bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + 1, bias.name))
        onnx.save(model, out)

    monkeypatch.setattr(canonical_onnx, "convert", sabotaged)
    with pytest.raises(module.RunError) as error:
        compare()
    text = str(error.value)
    assert "raw_onnx → onnx changed the model" in text
    assert "The first node that differs is scores, by up to 1" in text
    run = stores.read(compare.directory.root)
    assert run.state == "failed"
    assert run.error.kind == "ConversionError"
    assert "The first node that differs is scores" in run.error.what
    assert [hop.passed for hop in run.model.hops] == [False]
    assert run.rows == ()


def sabotaged_copy(source, out):
    """A conversion that adds 1 to each bias."""
    import onnx

    model = onnx.load(source)
    for stored in model.graph.initializer:
        if stored.name.endswith("bias"):
            stored.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(stored) + 1, stored.name))
    onnx.save(model, out)


def test_an_engines_own_hop_that_fails_costs_its_rows_alone(compare, use_engines):
    """Sabotage: an engine's last conversion changes the model; the rows of the other engine do not care."""
    from bitpick.conversion import route as routes
    from bitpick.conversion.hop import Hop
    from bitpick.engines.fake.engine import FakeEngine
    from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine
    from bitpick.models.model import Format

    class Picky(FakeEngine):
        name = "picky"
        accepts = (Format.PYTORCH,)  # any format that the sabotaged hop leads to
        runs = (Format.PYTORCH,)

    hop = Hop(Format.ONNX, Format.PYTORCH, "fake", (), f"{__name__}:sabotaged_copy")
    real = routes.hops()
    patched = (*(h for h in real if h.target != Format.PYTORCH), hop)
    use_engines(FakeEngine(), Picky(), OnnxRuntimeEngine())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routes, "hops", lambda: patched)
        run = compare(engines=("fake", "picky"), calibration_size=50)
    statuses = {row.id: row.status for row in run.rows}
    assert statuses["picky:float32"] == statuses["picky:s8s8-per_tensor-minmax"] == "failed"
    assert statuses["fake:s8s8-per_tensor-minmax"] == "ok"
    assert "onnx → pytorch changed the model" in run.row("picky:float32").reason
    assert [(h.name, h.passed) for h in run.model.hops] == [("raw_onnx → onnx", True), ("onnx → pytorch", False)]
    assert run.state == "complete"


def test_a_request_of_the_float32_alone_is_refused(compare, tmp_path):
    with pytest.raises(RecipeError, match="no quantized recipe is asked for"):
        compare("fake:float32")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("sized", [False, True])
def test_a_build_says_which_size_it_takes(compare, fake_engine, model_file, monkeypatch, sized):
    model = onnx.load(model_file)
    for dim in model.graph.input[0].type.tensor_type.shape.dim[1:3]:
        dim.dim_param = "free"
    onnx.save(model, model_file)
    monkeypatch.setattr(type(fake_engine), "fixed_shapes", sized)
    recipe = "fake:s8s8-per_tensor-minmax"
    run = compare(recipe)
    told = open_build(compare.directory.build(recipe)).interface
    assert "get (4, 4, 3), the shape of the samples" in run.model.notes[0]
    assert told.inputs[0].shape == ((4, 4, 3) if sized else (None, None, 3))
    assert compare(recipe).rows == run.rows  # nothing changed, so its rows are kept
    assert f"build {recipe}" not in compare.executor.ran
