"""Trials with the fake engine, and with passes in ONNX Runtime, in this process."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from bitpick.engines.fake.engine import FakeEngine
from bitpick.errors import BitpickError, EngineError, Unsupported
from bitpick.passes.graphs import Graph
from bitpick.passes.layers import layers
from bitpick.passes.registry import mix_of
from bitpick.pipeline.build_job import build, open_build
from bitpick.pipeline.forms import start_form
from bitpick.pipeline.listener import Silent
from bitpick.pipeline.running import CANNOT
from bitpick.pipeline.trial import Trial
from bitpick.pipeline.trials import ModelTrials, Trials
from bitpick.recipe import Recipe

PLAIN, OTHER = "fake:s8s8-per_tensor-minmax", "fake:s8u8-per_channel-minmax"
FLAT = "onnxruntime:s8s8-per_tensor-minmax"
EQUALIZED = f"{FLAT}+equalize"


@pytest.fixture
def done():
    """Do trials of a prepared run; gives what was told of each, in order."""

    def run(prepared, *trials):
        found = []
        told = ModelTrials(prepared.shop, prepared.model, prepared.inputs)
        told.run(trials, lambda trial, answer: found.append((trial.name, answer)))
        return found

    return run


def trial(prepared, text, **fields):
    recipe = Recipe.parse(text)
    fields = {"calibration": prepared.inputs.calibration} | fields
    return Trial(recipe, prepared.shop.directory.build(text), **fields)


def test_a_trial_gives_what_its_jobs_gave_and_its_build_is_there(prepared, done):
    run = prepared()
    folder = run.shop.directory.build(PLAIN)
    asked = trial(run, PLAIN, evaluation=run.inputs.evaluation, predictions=folder / "p.npz", look="whole")
    ((name, answer),) = done(run, asked)
    assert name == PLAIN
    assert list(answer) == ["build", "inspect", "evaluate"]
    assert answer["evaluate"].value["samples"] == 600
    assert answer["inspect"].value["coverage"]["macs"] == 1.0
    assert open_build(folder).recipe.id == PLAIN
    assert (folder / "p.npz").exists()


@pytest.mark.parametrize(
    ("look", "jobs"),
    [
        ("nothing", ["build", "evaluate"]),
        ("coverage", ["build", "inspect", "evaluate"]),
        ("file", ["build", "inspect", "check_rewriting", "evaluate"]),
        ("whole", ["build", "inspect", "check_rewriting", "evaluate"]),
    ],
)
def test_how_much_is_looked_at(prepared, done, monkeypatch, look, jobs):
    monkeypatch.setattr(FakeEngine, "optimizes", True)
    run = prepared()
    ((_, answer),) = done(run, trial(run, PLAIN, evaluation=run.inputs.check, look=look))
    assert list(answer) == jobs


def test_only_a_whole_look_asks_for_what_the_recipe_promises(prepared, done):
    run = prepared()
    runs_in_float = f"{PLAIN}+float"
    answers = {
        look: answer
        for look in ("coverage", "file", "whole")
        for _, answer in done(run, trial(run, runs_in_float, look=look))
    }
    assert answers["coverage"]["inspect"].value["coverage"]["macs"] == 0
    assert answers["file"]["inspect"].value["coverage"]["macs"] == 0
    assert isinstance(answers["whole"], BitpickError)
    assert "no part of this build runs as integers" in answers["whole"].what


@pytest.mark.parametrize("where", ["build", "inspect", "evaluate"])
def test_a_trial_that_fails_tells_its_error_once_and_the_others_go_on(prepared, done, where):
    def broken(name):
        if name == f"{where} {PLAIN}":
            raise EngineError(f"it broke in {where}")

    run = prepared()
    real = run.executor.run

    def execute(environment, function, payload, *progress):
        recipe = payload.get("recipe")
        broken(f"{function.rpartition(':')[2]} {recipe and recipe.id}")
        return real(environment, function, payload, *progress)

    run.executor.run = execute
    asked = [trial(run, text, evaluation=run.inputs.check, look="whole") for text in (PLAIN, OTHER)]
    found = done(run, *asked)
    assert [name for name, _ in found] == [PLAIN, OTHER]
    (_, failed), (_, fine) = found
    assert isinstance(failed, EngineError)
    assert failed.what == f"it broke in {where}"
    assert fine["evaluate"].value["samples"] == run.inputs.check.count


def test_a_build_that_is_there_is_not_built(prepared, done, model_file):
    run = prepared()
    folder = run.shop.directory.build(PLAIN)
    build(model_file, Recipe.parse(PLAIN), run.inputs.calibration, None, folder)
    ((_, answer),) = done(run, trial(run, PLAIN, calibration=None, evaluation=run.inputs.check))
    assert list(answer) == ["evaluate"]
    assert f"build {PLAIN}" not in run.executor.ran


def test_what_a_trial_shows_is_wanted_and_not_its_build(prepared, done, tmp_path):
    first, again = prepared(), prepared(out="again")
    asked = {"evaluation": first.inputs.check, "ships": False}
    before = done(first, trial(first, PLAIN, **asked))
    assert first.shop.directory.build(PLAIN).exists()
    found = done(again, trial(again, PLAIN, **asked))
    assert again.executor.ran.count(f"build {PLAIN}") == 0
    assert not again.shop.directory.build(PLAIN).exists()  # what was evaluated is known, so that nobody reads it
    assert found[0][1]["evaluate"].value == before[0][1]["evaluate"].value


def test_recipes_that_share_a_calibration_calibrate_once(prepared, done, monkeypatch):
    seen = []
    monkeypatch.setattr(FakeEngine, "calibration_key", lambda self, recipe: recipe.calibration)
    monkeypatch.setattr(FakeEngine, "calibrate", lambda self, source, recipe, samples, out: out.write_text("ranges"))
    real = FakeEngine.build

    def built(self, source, recipe, samples, ranges, folder):
        seen.append((recipe.id, ranges and ranges.read_text()))
        return real(self, source, recipe, samples, ranges, folder)

    run = prepared()
    monkeypatch.setattr(FakeEngine, "build", built)
    done(run, *(trial(run, text) for text in (PLAIN, OTHER, "fake:float32")))
    calibrated = [job for job in run.executor.ran if job.startswith("calibrate")]
    assert calibrated == [f"calibrate {PLAIN}"]
    assert seen == [(PLAIN, "ranges"), (OTHER, "ranges"), ("fake:float32", None)]


def test_a_calibration_that_fails_costs_the_trials_that_share_it(prepared, done, monkeypatch):
    def broken(*_):
        raise EngineError("no ranges")

    monkeypatch.setattr(FakeEngine, "calibration_key", lambda self, recipe: recipe.calibration)
    monkeypatch.setattr(FakeEngine, "calibrate", broken)
    run = prepared()
    found = dict(done(run, *(trial(run, text) for text in (PLAIN, OTHER, "fake:float32"))))
    assert [found[text].what for text in (PLAIN, OTHER)] == ["no ranges"] * 2
    assert list(found["fake:float32"]) == ["build"]


def test_two_draws_of_one_recipe_do_not_share_their_calibration(prepared, done, monkeypatch):
    monkeypatch.setattr(FakeEngine, "calibration_key", lambda self, recipe: recipe.calibration)
    monkeypatch.setattr(FakeEngine, "calibrate", lambda self, source, recipe, samples, out: out.write_text("ranges"))
    run = prepared()
    other = run.inputs.calibration.model_copy(update={"sha256": "another draw"})
    draw = replace(trial(run, PLAIN), folder=run.shop.directory.draw(1, PLAIN), calibration=other, subject="draw 1")
    assert [name for name, _ in done(run, trial(run, PLAIN), draw)] == [PLAIN, "draw 1"]
    assert len([job for job in run.executor.ran if job.startswith("calibrate")]) == 2


def test_recipes_with_a_pass_start_from_one_graph_that_it_prepared(prepared, done, convolutions):
    run = prepared(model=convolutions, accept_baseline=True)
    texts = (FLAT, EQUALIZED, "onnxruntime:s8u8-per_tensor-minmax+equalize")
    found = dict(done(run, *(trial(run, text, evaluation=run.inputs.check) for text in texts)))
    assert all("evaluate" in found[text] for text in texts), found
    applied = [job for job in run.listener.jobs if job == "convert:onnx+equalize"]
    assert applied == ["convert:onnx+equalize"]
    assert run.executor.ran.count("apply_pass") == 1
    assert "equalize changed 1 layer" in run.shop.run.model.notes
    assert [(hop.name, hop.passed) for hop in run.shop.run.model.hops][-1] == ("onnx → onnx+equalize", True)
    again = done(run, trial(run, EQUALIZED, evaluation=run.inputs.check))
    assert run.executor.ran.count("verify") == 2  # the graph is there, verified: on its way no more
    assert again[0][1]["evaluate"].value == found[EQUALIZED]["evaluate"].value


def test_a_pass_without_effect_is_an_unsupported_answer_of_its_trials_alone(prepared, done, model_file):
    run = prepared()
    found = dict(done(run, *(trial(run, text) for text in (f"{PLAIN}+equalize", EQUALIZED, PLAIN))))
    for text in (f"{PLAIN}+equalize", EQUALIZED):
        assert isinstance(found[text], Unsupported)
        assert isinstance(found[text], CANNOT)
        assert found[text].what.startswith("equalize changes nothing in this model: no two convolutions follow")
        assert found[text].fix == "leave +equalize out of the recipe"
    assert list(found[PLAIN]) == ["build"]
    assert "onnx+equalize" not in run.shop.run.model.forms


def test_who_is_told_of_a_job_may_make_an_error_of_it(prepared):
    run = prepared()
    answers = []
    refused = EngineError("that will not do")
    trials = Trials(run.shop.runner, 1, Silent(), lambda job, result: refused if job.function == "build" else result)
    one = trial(run, PLAIN, evaluation=run.inputs.check)

    def made(_):
        from bitpick.pipeline import plan

        return plan.build_jobs(one, run.model, run.inputs, run.shop.directory, ["raw_onnx", "onnx"])

    trials.run([one], run.inputs, lambda _, answer: answers.append(answer), plan_build=made)
    assert answers == [refused]
    assert f"evaluate {PLAIN}" not in run.executor.ran


MIXED = Recipe(
    engine="fake", dtypes="s8s8", granularity="per_channel", calibration="minmax", options={"adaround": ""},
    weights={"den*": "s4"}, name="mine",
)  # fmt: skip


def mixed_trial(prepared, recipe):
    folder, inputs = prepared.shop.directory.build(recipe.id), prepared.inputs
    return Trial(recipe, folder, calibration=inputs.calibration, evaluation=inputs.evaluation, look="whole")


def test_a_pass_rounds_a_layer_on_the_grid_that_its_engine_gives_it(prepared, done):
    run = prepared()
    ((_, answer),) = done(run, mixed_trial(run, MIXED))
    assert answer["inspect"].value["fingerprint"]["weights"]["dtype"] == "s4"
    assert answer["inspect"].value["flags"] == []
    form = start_form(MIXED, run.model.format)
    assert form == f"onnx+adaround=127_per_channel_mix_{mix_of(MIXED)}"
    graph = Graph(onnx.load(run.shop.directory.form(form)))
    (rows,) = (layer.rows(graph) for layer in layers(graph))
    steps = rows / np.abs(rows).max(axis=1, keepdims=True) * 7
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
    assert len(np.unique(np.round(steps))) > 8
    assert run.executor.ran.count("match") == 1
    done(run, mixed_trial(run, MIXED.model_copy(update={"weights": {"dense": "s4"}})))
    assert run.executor.ran.count("match") == 1  # it is known which layer is which


def test_patterns_that_match_nothing_fail_their_trial_alone(prepared, done):
    run = prepared()
    wrong = MIXED.model_copy(update={"weights": {"dens": "s4"}})
    found = dict(done(run, mixed_trial(run, wrong), mixed_trial(run, MIXED)))
    assert "no layer with weights of this model is called like 'dens'" in found[wrong.id].what
    assert found[wrong.id].expected == "a pattern that matches one of dense"
    assert "evaluate" in found[MIXED.id]
