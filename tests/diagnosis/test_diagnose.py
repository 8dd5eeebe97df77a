"""A whole diagnosis with the fake engine: the truth is known, for one layer was sabotaged."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from bitpick.engines.fake.engine import FakeEngine
from bitpick.errors import EngineError, RequestError, RunError
from bitpick.pipeline import directory as stores
from bitpick.recipe import Recipe, pattern_of
from tests.conftest import CLASSES

PER_TENSOR = "fake:s8s8-per_tensor-minmax"
PER_CHANNEL = "fake:s8u8-per_channel-minmax"


def bad_layer(run):
    """What the sabotaged layer is called in the clean graph."""
    layers = run.diagnosis.layers
    assert len(layers) == 3
    return layers[1]


def test_the_sabotaged_layer_is_found_left_in_float_and_the_accuracy_won_back(diagnose):
    run = diagnose(PER_CHANNEL, "inputs", apply=True)
    found, bad = run.diagnosis, bad_layer(run)
    assert run.state == "complete"
    assert run.command == "diagnose"
    first, _, last = found.layers
    assert first.activation_sqnr_db > 40 > 5 > bad.activation_sqnr_db  # from here on there is noise
    assert min(first.weight_sqnr_db, last.weight_sqnr_db) > 35
    assert max(found.layers, key=lambda layer: layer.only_quantized.drop) is bad
    assert bad.only_quantized.drop_interval[0] > 0.1
    assert all(layer.only_quantized.drop_interval[0] <= 0 for layer in found.layers if layer is not bad)
    assert any(line.startswith("Shown to lose accuracy") and f"once: {bad.name} " in line for line in found.advice)
    assert bad.only_float.drop_interval[0] <= 0 < found.whole.drop_interval[0]
    assert found.next.exclude == (pattern_of(bad.name),)
    assert found.applied == found.next.id
    row, before = run.row(found.applied), run.row(PER_CHANNEL)
    assert row.versus_baseline.noninferior is None  # it was chosen on samples that the claim would rest on
    assert row.versus_baseline.drop < 0.01 < 0.1 < before.versus_baseline.drop
    assert row.coverage.macs == pytest.approx(bad.only_float.integer_macs)
    assert any("had no part in choosing it" in line and "shown" in line for line in found.advice)
    assert Recipe.read(diagnose.store.root / "next_recipe.yaml") == found.next


def test_weights_with_one_large_channel_get_a_scale_for_each(diagnose):
    run = diagnose(PER_TENSOR, "channel")
    assert run.diagnosis.next.granularity == "per_channel"
    assert run.diagnosis.next.exclude == ()
    bad = bad_layer(run)
    assert min(run.diagnosis.layers, key=lambda layer: layer.weight_sqnr_db) is bad
    assert bad.weight_sqnr_db < 3
    assert any("one scale for a whole tensor" in line for line in run.diagnosis.advice)
    assert run.diagnosis.applied is None
    assert {row.id for row in run.rows} == {"fake:float32", PER_TENSOR}


def test_where_no_drop_is_shown_nothing_is_claimed(diagnose):
    run = diagnose(PER_CHANNEL, apply=True)
    assert run.diagnosis.next is None
    assert run.diagnosis.tried == ()
    assert run.diagnosis.advice[-1].startswith("No drop is shown")
    assert not (diagnose.store.root / "next_recipe.yaml").exists()


def test_the_worst_samples_are_images_that_only_the_float32_gets_right(diagnose):
    from PIL import Image

    run = diagnose(PER_CHANNEL, "inputs")
    assert len(run.diagnosis.worst) == 12
    images = np.load(diagnose.store.root.parent / "data" / "test_images.npy", mmap_mode="r")
    for example in run.diagnosis.worst:
        assert example.predictions["fake:float32"] == example.label != example.predictions[PER_CHANNEL]
        assert (np.asarray(Image.open(diagnose.store.root / example.image)) == images[example.sample]).all()
    scores = [stores.outputs(diagnose.store.build(name))[0] for name in ("fake:float32", PER_CHANNEL)]
    exponents = [np.exp(s - s.max(1, keepdims=True)) for s in scores]
    floats, own = (e / e.sum(1, keepdims=True) for e in exponents)
    lost = [(floats - own)[e.sample, CLASSES.index(e.label)] for e in run.diagnosis.worst]
    assert all(before >= after - 1e-6 for before, after in pairwise(lost))


def changes(executor) -> list[str]:
    """The recipes that were built beside those of rows."""
    return [name.partition(" ")[2] for name in executor.ran if name.startswith("build ") and "." in name]


def test_a_run_that_was_stopped_goes_on_from_what_it_has(diagnose, monkeypatch, tmp_path):
    whole = diagnose(PER_CHANNEL, "inputs", out="whole")
    all_of_them = changes(diagnose.executor)
    monkeypatch.setenv("BITPICK_STORE", str(tmp_path / "empty"))
    with pytest.raises(KeyboardInterrupt):
        diagnose(PER_CHANNEL, "inputs", stop_at=f"build {all_of_them[3]}")
    half = stores.read(diagnose.store.root)
    assert half.state == "interrupted"
    assert [bool(layer.only_quantized) for layer in half.diagnosis.layers] == [True, True, False]
    run = diagnose(PER_CHANNEL, "inputs")
    assert changes(diagnose.executor) == all_of_them[3:]
    assert run.diagnosis == whole.diagnosis
    applied = diagnose(PER_CHANNEL, "inputs", apply=True)
    assert changes(diagnose.executor) == []
    assert applied.diagnosis.applied == run.diagnosis.next.id


def test_a_build_that_fails_costs_its_cell(diagnose, monkeypatch):
    real = FakeEngine.build

    def build(self, source, recipe, *others):
        if len(recipe.exclude) == 2 and "a" not in "".join(recipe.exclude):
            raise EngineError("the library broke\nin two lines")
        return real(self, source, recipe, *others)

    monkeypatch.setattr(FakeEngine, "build", build)
    run = diagnose(PER_CHANNEL, "inputs", out="broken")
    assert run.state == "complete"
    cells = [bool(layer.only_quantized) for layer in run.diagnosis.layers]
    assert cells == [False, True, True]
    assert any("1 of the builds of single layers failed" in line for line in run.diagnosis.advice)
    assert run.diagnosis.next is not None


def test_only_the_noisiest_layers_get_builds_where_there_are_many(diagnose):
    run = diagnose(PER_CHANNEL, "inputs", layers=1)
    bad = bad_layer(run)
    assert run.diagnosis.left_out == tuple(layer.name for layer in run.diagnosis.layers if layer is not bad)
    assert [bool(layer.only_float) for layer in run.diagnosis.layers] == [False, True, False]
    assert run.diagnosis.next.exclude == (pattern_of(bad.name),)
    assert any("--layers changes that" in line for line in run.diagnosis.advice)


def test_a_recipe_that_leaves_a_layer_out_is_diagnosed_without_it(diagnose, tmp_path):
    bad = bad_layer(diagnose(PER_CHANNEL, "inputs", out="first")).name
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps(Recipe.parse(PER_CHANNEL).model_dump() | {"exclude": [bad], "name": "mine"}))
    run = diagnose(str(file), "inputs")
    assert bad not in [layer.name for layer in run.diagnosis.layers]
    assert len(run.diagnosis.layers) == 2
    assert run.diagnosis.layers[0].only_quantized.integer_macs < run.diagnosis.whole.integer_macs < 1


def test_a_recipe_that_cannot_be_built_is_a_failed_run(diagnose):
    with pytest.raises(RunError, match="was asked to lack it"):
        diagnose(f"{PER_TENSOR}+absent")
    assert stores.read(diagnose.store.root).state == "failed"


def test_a_task_that_cannot_be_diagnosed_leaves_nothing_behind(diagnose, monkeypatch):
    def refuse(task):
        raise RequestError("no classes")

    monkeypatch.setattr("bitpick.diagnosis.diagnose.check", refuse)
    with pytest.raises(RequestError, match="no classes"):
        diagnose(PER_TENSOR, "channel")
    assert not diagnose.store.root.exists()
