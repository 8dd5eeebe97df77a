"""Recipes measured for what they show, with the fake engine, in this process."""

from __future__ import annotations

import numpy as np
import pytest

from bitpick.diagnosis.changes import Changes, check, gain, scores
from bitpick.errors import RequestError, Unsupported
from bitpick.measures.fidelity import fidelity
from bitpick.pipeline import directory as stores
from bitpick.pipeline.trial import Trial
from bitpick.pipeline.trials import ModelTrials
from bitpick.recipe import Recipe, baseline
from bitpick.tasks.classification import Classification
from bitpick.tasks.regression import Regression

FLOAT = baseline("fake")
PER_CHANNEL = "fake:s8u8-per_channel-minmax"
PLAIN, OTHER = Recipe.parse("fake:s8s8-per_tensor-minmax"), Recipe.parse(PER_CHANNEL)
ABSENT = Recipe.parse("fake:s8s8-per_tensor-minmax+absent")


@pytest.fixture
def run(prepared):
    """A run that has its float32."""
    found = prepared(target_samples=300)
    folder = found.shop.directory.build(FLOAT.id)
    calibration, evaluation = found.inputs.calibration, found.inputs.evaluation
    trial = Trial(FLOAT, folder, calibration, evaluation, predictions=folder / "predictions.npz")
    ModelTrials(found.shop, found.model, found.inputs).run([trial], lambda *_: None)
    return found


@pytest.fixture
def changes(run):
    folder = run.shop.directory.build(FLOAT.id)
    trials = ModelTrials(run.shop, run.model, run.inputs)
    return Changes(run.shop, trials, run.inputs, stores.predictions(folder), folder)


def measured(changes, *recipes):
    found = []
    changes.measure(recipes, lambda recipe, answer: found.append((recipe.id, answer)))
    return found


def test_each_change_is_measured_on_the_samples_that_were_asked_for(diagnose):
    run = diagnose(PER_CHANNEL, "inputs", samples=300)
    assert run.diagnosis.samples == 300
    floats, whole = (stores.predictions(diagnose.store.build(name))[:300] for name in ("fake:float32", PER_CHANNEL))
    targets = np.load(diagnose.store.root.parent / "data" / "test_labels.npy")[:300]
    assert run.diagnosis.whole.correct == (whole == targets).sum()
    assert run.diagnosis.whole.drop == pytest.approx(((floats == targets).sum() - (whole == targets).sum()) / 300)
    assert run.diagnosis.whole.flips == (floats != whole).sum()
    # All layers but one in float, of three: each is an integer in one build of its own, and a float in another.
    shares = [(layer.only_quantized.integer_macs, layer.only_float.integer_macs) for layer in run.diagnosis.layers]
    assert all(alone + without == pytest.approx(1) for alone, without in shares)


def test_no_build_of_a_single_layer_is_left_on_disk(diagnose):
    diagnose(PER_CHANNEL, "inputs")
    builds = {path.name for path in (diagnose.store.root / "builds").iterdir()}
    assert builds == {"fake__float32", PER_CHANNEL.replace(":", "__")}


def test_each_recipe_is_measured_once_beside_the_float32_and_a_failure_is_its_answer(changes, run):
    found = measured(changes, PLAIN, ABSENT, PLAIN)
    assert sorted(name for name, _ in found) == [PLAIN.id, ABSENT.id]
    answers = dict(found)
    assert isinstance(answers[ABSENT.id], Unsupported)
    change, predicted = answers[PLAIN.id], changes.predictions(PLAIN)
    floats = stores.predictions(run.shop.directory.build(FLOAT.id))[run.inputs.check_places]
    assert len(predicted) == len(changes.targets) == 300
    assert change.correct == (predicted == changes.targets).sum()
    assert change.flips == (predicted != floats).sum()
    assert change.drop == pytest.approx(((floats == changes.targets).sum() - change.correct) / 300)
    assert change.drop_interval[0] <= change.drop <= change.drop_interval[1]
    assert change.integer_macs == 1.0
    assert change.sqnr_db > 20
    with pytest.raises(KeyError):
        changes.predictions(ABSENT)


def test_builds_go_and_what_they_predicted_stays(changes, run):
    measured(changes, PLAIN, ABSENT)
    place = run.shop.directory.root / "diagnosis" / PLAIN.file_name
    assert [path.name for path in place.iterdir()] == ["predictions.npz"]
    assert stores.predictions(place).tolist() == changes.predictions(PLAIN).tolist()
    assert [path.name for path in (run.shop.directory.root / "builds").iterdir()] == [FLOAT.file_name]


def test_how_alike_the_scores_are_is_told_of_the_samples_that_both_saw(changes, run):
    ((_, change),) = measured(changes, OTHER)
    task = run.inputs.task
    floats = scores(run.shop.directory.build(FLOAT.id), task)[run.inputs.check_places]
    own = scores(run.shop.directory.root / "diagnosis" / OTHER.file_name, task)
    assert change.sqnr_db == fidelity(floats, own).sqnr_db


def test_only_a_recipe_that_is_worse_beyond_luck_is_shown_to_lose(changes, monkeypatch):
    monkeypatch.setenv("BITPICK_FAKE_SATURATES", "1")
    measured(changes, PLAIN, OTHER, FLOAT)
    assert changes.shown_to_lose([PLAIN, OTHER, FLOAT]) == [False, True, False]
    assert changes.shown_to_lose([]) == []


def test_a_gain_is_what_is_right_more_often():
    targets = np.zeros(100, np.int64)
    before, after = np.zeros(100, np.int32), np.zeros(100, np.int32)
    before[:30], after[25:35] = 1, 1  # 25 were won, and 5 lost
    value, (low, high) = gain(before, after, targets)
    assert value == pytest.approx(0.2)
    assert 0 < low < 0.2 < high < 0.4


def test_a_task_without_classes_is_refused_with_what_to_do():
    check(Classification(classes=("a", "b")))
    with pytest.raises(RequestError, match="the task regression predicts no classes") as raised:
        check(Regression())
    assert "bitpick compare --recipe FILE" in raised.value.fix
