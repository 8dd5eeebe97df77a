"""A ranking of the layers of a small network by ONNX Runtime, in this process."""

from __future__ import annotations

import pytest

from bitpick.engines.fake.engine import FakeEngine
from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine
from bitpick.errors import EngineError
from bitpick.models.model import Format
from bitpick.pipeline.layer_job import Matches
from bitpick.pipeline.sensitivity_job import Sensitivity
from bitpick.recipe import Recipe
from bitpick.searching.ranking import Ranking, _names, rank

FOUR = Recipe.parse("onnxruntime:s4weights")
RECIPES = [
    FOUR, FOUR.model_copy(update={"options": {"adaround": ""}}), Recipe.parse("fake:s8s8-per_tensor-minmax"),
    Recipe.parse("fake:s8u8-per_tensor-minmax+equalize"),
]  # fmt: skip


def test_layers_come_by_what_they_cost_for_their_size_under_the_engines_names(prepared, convolutions):
    run = prepared(model=convolutions, accept_baseline=True)
    ranking = rank(run.shop, run.inputs, RECIPES[:2])
    assert run.executor.ran.count("sensitivities") == 1
    assert ranking.knows("onnxruntime")
    assert not ranking.knows("fake")
    assert ranking.cpu_seconds > 0
    costs = {each.layer: each.errors[0] / each.weights for each in ranking.sensitivities}
    assert sorted(costs) == ["first", "second"]
    expected = sorted(costs, key=costs.__getitem__, reverse=True)
    for recipe in RECIPES[:2]:
        assert ranking.layers(recipe) == [(layer, True) for layer in expected]
    assert rank(run.shop, run.inputs, RECIPES[:2]) == ranking


def test_what_cannot_be_found_out_is_noted_and_left_out(prepared, convolutions, monkeypatch):
    def broken(self, source):
        raise EngineError("no names")

    monkeypatch.setattr(OnnxRuntimeEngine, "layer_weights", broken)
    run = prepared(model=convolutions, accept_baseline=True)
    ranking = rank(run.shop, run.inputs, RECIPES[:1])
    assert not ranking.knows("onnxruntime")
    assert ranking.layers(FOUR) == []
    assert "the search treats no single layers of onnxruntime differently: no names" in run.shop.run.model.notes


def test_engines_that_mix_nothing_have_no_part_in_it(prepared, monkeypatch):
    monkeypatch.setattr(FakeEngine, "mixes", frozenset())
    run = prepared()
    assert rank(run.shop, run.inputs, RECIPES[2:]) == Ranking()
    assert "sensitivities" not in run.executor.ran


def test_layers_that_have_eight_bits_in_any_case_are_told_apart():
    layers = [Sensitivity("deep", 10, True, True, (4.0, 0.1)), Sensitivity("wide", 10, False, False, (2.0, 0.2))]
    names = {("litert", "litert"): {"deep": "d", "wide": "w"}}
    ranking = Ranking(Format.KERAS, tuple(layers), names)
    assert ranking.layers(Recipe.parse("litert:s4s8-per_channel-minmax")) == [("d", False), ("w", True)]
    assert ranking.layers(Recipe.parse("litert:s8s8-per_channel-minmax")) == [("w", True), ("d", True)]


@pytest.mark.parametrize(
    ("layers", "others", "names"),
    [
        ({"a": [["one", "relu"]], "b": [["two", "relu"]]}, [], {"a": "one", "b": "two"}),
        ({"a": [["relu"]], "b": [["two", "relu"]]}, [], {"b": "two"}),  # another layer has the name, too
        ({"a": [["one"]], "b": [["two"], ["three"]], "c": []}, [["one"]], {}),
        ({"a": [["on*e"]]}, [["onnne"]], {"a": "on*e"}),
    ],
)
def test_a_layer_is_known_by_a_name_that_no_other_has(layers, others, names):
    assert _names(Matches(layers=layers, others=others)) == names
