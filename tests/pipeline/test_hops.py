"""What of a job's outcome gets into the record of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bitpick.errors import ConversionError, EngineError, RequestError
from bitpick.executors.executor import Outcome
from bitpick.models.model import form_of, sha256_of
from bitpick.pipeline import hops, refuted
from bitpick.pipeline.job import Job
from bitpick.schema.hop import Hop


@pytest.fixture
def run(known):
    return known


def job(function, **payload):
    return Job(f"{function}:x", "env", "m", function, payload)


def outcome(value):
    return Outcome(value, 0.0, 0.0)


def verified(run, source, target, passed=True, **fields):
    """The outcome of a check, with a file of the form that was checked."""
    path = run.shop.directory.form(form_of(target))
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        path.write_text(target)
    record = Hop(name=f"{source} → {target}", source=source, target=target, samples=4, passed=passed, **fields)
    return hops.note_outcome(run.shop, run.inputs, job("verify"), outcome(record.model_dump(mode="json")))


def test_a_hop_is_noted_once_and_in_the_order_of_the_forms(run):
    for target in ("litert", "onnx", "onnx+equalize+pool_as_mean", "pytorch", "onnx+equalize", "pytorch+equalize"):
        verified(run, "raw_onnx", target)
    verified(run, "raw_onnx", "onnx+equalize", rms_diff=0.5)  # again, as a continued run does it
    found = run.shop.run.model.hops
    assert [hop.target for hop in found] == [
        "onnx", "onnx+equalize", "onnx+equalize+pool_as_mean", "pytorch", "pytorch+equalize", "litert",
    ]  # fmt: skip
    assert found[1].rms_diff == 0.5


def test_a_form_that_passed_is_recorded_with_its_digest_and_watched(run):
    verified(run, "onnx", "onnx+equalize")
    path = run.shop.directory.form(form_of("onnx+equalize"))
    form = run.shop.run.model.forms["onnx+equalize"]
    assert (form.path, form.sha256) == ("forms/onnx+equalize.onnx", sha256_of(path))
    assert set(run.shop.run.model.forms) == {"onnx+equalize"}
    path.write_text("other")
    with pytest.raises(RequestError, match=r"onnx\+equalize\.onnx changed while it was in use"):
        hops.note_outcome(run.shop, run.inputs, job("inspect"), outcome({}))


def test_a_hop_that_did_not_pass_is_an_error_that_says_where_and_its_form_is_none(run, monkeypatch):
    monkeypatch.setattr(refuted, "explain", lambda record, *_: ConversionError(f"{record.name} changed the model"))
    result = verified(run, "onnx", "onnx+equalize", passed=False)
    assert isinstance(result, ConversionError)
    assert result.what == "onnx → onnx+equalize changed the model"
    assert [(hop.target, hop.passed) for hop in run.shop.run.model.hops] == [("onnx+equalize", False)]
    assert "onnx+equalize" not in run.shop.run.model.forms


def test_what_a_step_assumed_is_noted_once(run):
    hops.note_outcome(run.shop, run.inputs, job("convert"), outcome(["it did that"]))
    hops.note_outcome(
        run.shop,
        run.inputs,
        job("apply_pass"),
        outcome({"notes": ["it did that"], "layers": [], "samples": 0, "training": None}),
    )
    hops.note_outcome(run.shop, run.inputs, job("build"), outcome({"notes": ["and this"]}))
    assert run.shop.run.model.notes == ("it did that", "and this")
    assert run.shop.listener.notes == ["it did that", "and this"]


def test_what_tuning_did_is_recorded_with_its_cost_and_its_metrics(run):
    form = "onnx+adaround=127_per_tensor"
    path = run.shop.directory.form(form_of(form))
    path.parent.mkdir(exist_ok=True)
    path.write_text(form)
    layers = [{"layer": "a", "nearest": 20.0, "tuned": 25.0}]
    tune = replace(job("apply_pass", samples=run.inputs.calibration), subject=f"onnx → {form}")
    for _ in range(2):  # once more, as a continued run does it
        hops.note_outcome(
            run.shop,
            run.inputs,
            tune,
            Outcome({"notes": [], "layers": layers, "samples": 50, "training": None}, 3.0, 2.0),
        )
    (tuning,) = run.shop.run.model.tunings
    assert (tuning.form, tuning.source, tuning.cpu_seconds, tuning.before) == (form, "onnx", 2.0, None)
    assert form not in run.shop.run.model.forms
    metrics = {"form": form, "evaluated": 30, "before": 0.5, "after": 0.4}
    hops.note_outcome(run.shop, run.inputs, job("measure_tuning"), outcome(metrics))
    (tuning,) = run.shop.run.model.tunings
    assert (tuning.evaluated, tuning.before, tuning.after) == (30, 0.5, 0.4)
    assert tuning.layers[0].tuned == 25
    assert run.shop.run.model.forms[form].sha256 == sha256_of(path)


def test_how_a_network_was_trained_is_recorded(run):
    form = "onnx+qat=7_per_channel"
    how = {"epochs": 3, "samples": 950, "held_out": 50, "labels": True, "changes": ""}
    train = replace(job("train", sets=(run.inputs.training, run.inputs.evaluation)), subject=f"onnx → {form}")
    hops.note_outcome(
        run.shop, run.inputs, train, outcome({"notes": ["it trained"], "layers": [], "samples": 1000, "training": how})
    )
    (tuning,) = run.shop.run.model.tunings
    assert (tuning.form, tuning.layers, tuning.samples, tuning.training.model_dump()) == (form, (), 1000, how)
    assert run.shop.run.model.notes == ("it trained",)


def test_an_error_is_handed_on_and_nothing_is_noted(run):
    error, before = EngineError("it broke"), run.shop.run
    assert hops.note_outcome(run.shop, run.inputs, job("verify"), error) is error
    assert run.shop.run == before
    assert run.shop.listener.jobs[-1] == "verify:x"


def test_ranges_that_change_after_they_were_made_end_the_run(run, tmp_path):
    ranges = tmp_path / "ranges.json"
    ranges.write_text("own")
    hops.note_outcome(run.shop, run.inputs, job("calibrate", out=ranges), outcome(None))
    ranges.write_text("foreign")
    with pytest.raises(RequestError, match=r"ranges\.json changed while it was in use"):
        hops.note_outcome(run.shop, run.inputs, job("build"), outcome({"notes": []}))
