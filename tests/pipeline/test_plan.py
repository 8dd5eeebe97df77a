"""Which jobs there are, what they need, and who reads them; nothing is run here."""

from __future__ import annotations

import pytest

from bitpick.conversion import route as routes
from bitpick.conversion.hop import Hop
from bitpick.engines.fake.engine import FakeEngine
from bitpick.models.model import Format, PreparedForm, prepared
from bitpick.passes.weight_grid import WeightGrid
from bitpick.pipeline import forms, plan
from bitpick.pipeline.trial import Trial
from bitpick.recipe import Recipe

PLAIN = "fake:s8s8-per_tensor-minmax"
EQUALIZED = prepared(Format.ONNX, ["equalize"])


@pytest.fixture
def run(known, monkeypatch):
    monkeypatch.setattr(FakeEngine, "runs", (Format.PYTORCH,))
    return known


def needs(jobs):
    return {job.id: job.needs for job in jobs}


def test_each_side_of_a_step_is_run_before_they_are_compared(run):
    jobs = plan.conversions([Format.ONNX], run.inputs, run.shop.directory)
    assert needs(jobs) == {
        "convert:onnx": (),
        "outputs:onnx": ("convert:onnx",),
        "outputs:raw_onnx": (),
        "verify:onnx": ("convert:onnx", "outputs:onnx", "outputs:raw_onnx"),
    }
    assert [job.subject for job in jobs] == ["raw_onnx → onnx", "onnx", "raw_onnx", "raw_onnx → onnx"]
    assert [job.id for job in jobs if not job.wanted] == ["outputs:onnx", "outputs:raw_onnx"]
    assert jobs[-1].payload["samples"].count == run.inputs.calibration.count < plan.VERIFICATION_SAMPLES


def test_steps_of_several_ways_are_done_once_and_given_ones_not_at_all(run):
    both = [Format.PYTORCH, EQUALIZED]
    jobs = plan.conversions(both, run.inputs, run.shop.directory)
    made = [job.id for job in jobs if job.id.startswith("convert")]
    assert made == ["convert:onnx", "convert:pytorch", "convert:onnx+equalize"]
    later = plan.conversions(both, run.inputs, run.shop.directory, existing=[Format.RAW_ONNX, Format.ONNX])
    assert [job.id for job in later if job.id.startswith("convert")] == made[1:]
    assert needs(later)["convert:pytorch"] == needs(later)["convert:onnx+equalize"] == ()
    assert plan.conversions(both, run.inputs, run.shop.directory, existing=[Format.ONNX, *both]) == []


def test_passes_are_applied_one_after_the_other_to_the_clean_graph(run):
    target = prepared(Format.PYTORCH, ["equalize", "pool_as_mean"])
    jobs = plan.conversions([target], run.inputs, run.shop.directory, existing=[Format.RAW_ONNX, Format.ONNX])
    steps = {job.id: job for job in jobs if job.function != "run_form"}
    forms = ["onnx+equalize", "onnx+equalize+pool_as_mean", "pytorch+equalize+pool_as_mean"]
    assert list(steps) == [f"{what}:{form}" for form in forms for what in ("convert", "verify")]
    first, second, last = (steps[f"convert:{form}"] for form in forms)
    assert [(job.function, job.payload.get("name")) for job in (first, second, last)] == [
        ("apply_pass", "equalize"), ("apply_pass", "pool_as_mean"), ("convert", None),
    ]  # fmt: skip
    assert (first.needs, second.needs, last.needs) == ((), (first.id,), (second.id,))
    assert [job.subject for job in (first, last)] == ["onnx → onnx+equalize", f"{forms[1]} → {forms[2]}"]
    assert last.payload["source"] == second.payload["out"] == run.shop.directory.form(PreparedForm(forms[1]))
    assert steps[f"verify:{forms[0]}"].payload["sides"] == ("onnx", "onnx+equalize")
    # Exact outputs are those of the user's function, whatever a pass made of its graph.
    assert {steps[f"verify:{form}"].payload["graph"] for form in forms} == {run.shop.directory.form(Format.ONNX)}


def test_a_hop_that_fixes_sizes_is_told_those_of_the_samples(run, tmp_path):
    free = Hop(Format.ONNX, Format.LITERT, "env", (), "m:f")
    sized = Hop(Format.ONNX, Format.LITERT, "env", (), "m:f", sized=True)
    source, out, samples = tmp_path / "a", tmp_path / "b", run.inputs.calibration
    assert forms.convert(sized, source, out, samples).payload["shapes"] == [(4, 4, 3)]
    assert forms.convert(free, source, out, samples).payload["shapes"] is None
    assert forms.convert(sized, source, out, None).payload["shapes"] is None


def trial(run, text, **fields):
    return Trial(Recipe.parse(text), run.shop.directory.build(text), **fields)


def built(run, one, given=(Format.RAW_ONNX, Format.ONNX)):
    return plan.build_jobs(one, run.model, run.inputs, run.shop.directory, given)


def test_a_build_waits_for_its_form_where_that_is_not_there(run):
    one = trial(run, PLAIN, calibration=run.inputs.calibration)
    assert needs(built(run, one)) == {f"build:{PLAIN}": ()}
    assert needs(built(run, one, given=[Format.RAW_ONNX])) == {f"build:{PLAIN}": ("verify:onnx",)}
    equalized = trial(run, f"{PLAIN}+equalize", calibration=run.inputs.calibration)
    (job,) = built(run, equalized)
    assert job.needs == ("verify:onnx+equalize",)
    assert job.payload["source"] == run.shop.directory.form(EQUALIZED)


def test_a_pass_that_tunes_is_measured_and_runs_on_its_draw(run):
    recipe = f"{PLAIN}+adaround+equalize"
    draw = run.inputs.calibration.model_copy(update={"sha256": "1a2b3c4d5e"})
    forms = [
        prepared(Format.ONNX, ["equalize", step])
        for step in ("adaround=127_per_tensor", "adaround=127_per_tensor@1a2b3c4d")
    ]
    jobs = plan.conversions(forms, run.inputs, run.shop.directory, [Format.RAW_ONNX, Format.ONNX], {"1a2b3c4d": draw})
    by_id = {job.id: job for job in jobs}
    for form, samples in zip(forms, (run.inputs.calibration, draw), strict=True):
        tune, measure = by_id[f"convert:{form}"], by_id[f"verify:{form}"]
        assert (tune.function, tune.payload["name"], tune.payload["grid"]) == (
            "apply_pass",
            "adaround",
            "127_per_tensor",
        )
        assert tune.payload["samples"] == samples
        assert tune.needs == ("convert:onnx+equalize",)
        assert (measure.function, measure.needs) == ("measure_tuning", (tune.id,))
        assert measure.payload["sides"] == ("onnx+equalize", form)
        (build,) = built(run, trial(run, recipe, calibration=samples))
        assert build.needs == (f"verify:{form}",)
        assert build.payload["source"] == run.shop.directory.form(form)


def test_a_pass_that_trains_gets_the_training_split_and_no_draw(run, monkeypatch):
    monkeypatch.setattr(FakeEngine, "weight_grid", lambda self, recipe: WeightGrid(7, per_channel=True))
    draw = run.inputs.calibration.model_copy(update={"sha256": "1a2b3c4d5e"})
    form = prepared(Format.ONNX, ["qat=7_per_channel"])
    train, measure = plan.conversions([form], run.inputs, run.shop.directory, [Format.RAW_ONNX, Format.ONNX])
    assert (train.environment, train.function, train.payload["name"]) == ("qat", "train", "qat")
    assert train.payload["sets"] == (run.inputs.training, run.inputs.evaluation)
    assert (train.payload["minutes"], train.payload["seed"]) == (5.0, 3)
    assert train.payload["checkpoint"].parent == run.shop.directory.form(form).parent
    assert measure.payload["samples"] == run.inputs.evaluation
    for samples in (run.inputs.calibration, draw):
        (build,) = built(run, trial(run, f"{PLAIN}+qat", calibration=samples))
        assert build.needs == (f"verify:{form}",)


def test_a_checkpoint_is_not_part_of_what_a_training_is_known_by(run):
    form = prepared(Format.ONNX, ["qat=7_per_channel"])
    train, _ = plan.conversions([form], run.inputs, run.shop.directory, [Format.RAW_ONNX, Format.ONNX])
    run.shop.runner.name(train.payload["source"], "the clean graph")
    before = run.shop.runner.key(train)
    train.payload["checkpoint"].parent.mkdir(exist_ok=True, parents=True)
    train.payload["checkpoint"].write_text("half way")
    assert run.shop.runner.key(train) == before


def test_a_calibration_has_the_name_of_all_that_it_depends_on(run, monkeypatch):
    monkeypatch.setattr(FakeEngine, "calibration_key", lambda self, recipe: recipe.calibration)

    def calibration(text, samples=run.inputs.calibration):
        calibrate, build = built(run, trial(run, text, calibration=samples))
        assert build.needs == (calibrate.id,)
        assert build.payload["ranges"] == calibrate.payload["out"]
        assert calibrate.makes == ("out",)
        assert not calibrate.wanted
        return calibrate.id

    name = calibration(PLAIN)
    assert calibration("fake:s8u8-per_channel-minmax") == name
    others = run.inputs.calibration.model_copy(update={"sha256": "another draw"})
    assert len({name, calibration(PLAIN, others), calibration(f"{PLAIN}+equalize")}) == 3


def test_what_a_build_ships_with_is_wanted_where_it_ships(run):
    for ships in (True, False):
        (job,) = built(run, trial(run, PLAIN, calibration=run.inputs.calibration, ships=ships))
        assert job.wanted == ships
        assert job.makes == ("folder",)


def test_what_is_measured_of_a_build_comes_one_after_the_other(run, monkeypatch):
    monkeypatch.setattr(FakeEngine, "optimizes", True)
    one = trial(run, PLAIN, calibration=run.inputs.calibration, evaluation=run.inputs.check, look="whole")
    jobs = plan.measuring_jobs(one, run.inputs, built(run, one))
    assert [job.id for job in jobs] == [
        f"{what}:{PLAIN}" for what in ("build", "inspect", "check_rewriting", "evaluate")
    ]
    assert [job.needs for job in jobs[1:]] == [(job.id,) for job in jobs[:-1]]
    assert {job.subject for job in jobs} == {PLAIN}
    assert all(job.wanted for job in jobs)
    baseline = trial(run, "fake:float32", look="whole")
    assert [job.function for job in plan.measuring_jobs(baseline, run.inputs, [])] == ["inspect"]


def test_a_trial_on_a_target_is_evaluated_in_that_targets_worker(run, tmp_path):
    here = trial(run, PLAIN, evaluation=run.inputs.check, predictions=tmp_path / "p.npz")
    there = trial(run, PLAIN, evaluation=run.inputs.check, target="phone")
    (one,), (other,) = (plan.measuring_jobs(each, run.inputs, []) for each in (here, there))
    assert (one.id, one.environment, one.makes) == (f"evaluate:{PLAIN}", "fake", ("predictions",))
    assert (other.id, other.environment, other.makes) == (f"evaluate:{PLAIN}@phone", "fake@phone", ())


def test_a_form_without_a_way_has_no_jobs(run, monkeypatch):
    monkeypatch.setattr(routes, "hops", lambda: ())
    assert plan.conversions([Format.LITERT], run.inputs, run.shop.directory) == []
