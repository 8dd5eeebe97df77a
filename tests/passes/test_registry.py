from __future__ import annotations

import pytest

from bitpick.engines.registry import engines
from bitpick.executors.executor import resolve
from bitpick.passes.graph_pass import Step
from bitpick.passes.registry import gridded_passes, mix_of, passes, passes_of, steps_of
from bitpick.passes.weight_grid import WeightGrid
from bitpick.recipe import Recipe


def test_every_pass_can_be_applied_and_says_what_it_does():
    assert set(passes()) >= {"adaround", "bias_correction", "equalize", "pool_as_mean"}
    for name, each in passes().items():
        assert each.name == name
        assert callable(resolve(each.apply))
        assert each.help
        assert not each.help.endswith(".")


def test_they_are_options_of_a_recipe():
    recipe = Recipe.parse("onnxruntime:s8u8-per_channel-minmax+equalize+pool_as_mean+reduced_range")
    assert passes_of(recipe) == ("equalize", "pool_as_mean")
    assert passes_of(Recipe.parse("onnxruntime:s8u8-per_channel-minmax+reduced_range")) == ()


def test_they_are_applied_stage_by_stage():
    recipe = Recipe.parse("onnxruntime:s8u8-per_channel-minmax+adaround+bias_correction+equalize+pool_as_mean")
    assert passes_of(recipe) == ("equalize", "pool_as_mean", "adaround", "bias_correction")
    assert gridded_passes(recipe) == ("adaround", "bias_correction")
    assert [passes()[name].preserves for name in passes_of(recipe)] == [True, True, False, False]


@pytest.mark.parametrize("draw", ["", "1a2b3c4d"])
def test_a_step_names_all_that_its_result_depends_on(draw):
    grid = WeightGrid(64, True)
    recipe = Recipe.parse("onnxruntime:s8u8-per_channel-minmax+adaround+pool_as_mean+reduced_range")
    names = steps_of(recipe, grid, draw)
    assert names == ("pool_as_mean", f"adaround=64_per_channel{'@' if draw else ''}{draw}")
    steps = [Step.parse(name) for name in names]
    assert [(step.name, step.grid, step.draw) for step in steps] == [
        ("pool_as_mean", None, ""),
        ("adaround", grid, draw),
    ]


@pytest.mark.parametrize("text", ["onnxruntime:float16+adaround", "onnxruntime:u8u8-per_tensor-minmax+adaround"])
def test_a_pass_that_rounds_needs_a_grid(text):
    assert "adaround needs weights on a symmetric grid" in engines()["onnxruntime"].refusal(Recipe.parse(text))


def test_four_bits_are_not_prepared_where_an_engine_does_not_say_which_layers_are_which(monkeypatch):
    fields = {"engine": "litert", "dtypes": "s4s8", "granularity": "per_channel", "calibration": "minmax"}
    recipe = Recipe(**fields, options={"adaround": ""}, exclude=("first",), name="mine")
    assert engines()["litert"].refusal(recipe) is None
    monkeypatch.setattr(type(engines()["litert"]), "mixes", frozenset())
    assert "prepares all layers for four bits" in engines()["litert"].refusal(recipe)
    assert engines()["litert"].refusal(recipe.model_copy(update={"dtypes": "s8s8"})) is None


@pytest.mark.parametrize("name", [name for name in engines() if name != "keras"])
def test_every_engine_takes_them(name):
    block = next(each for each in engines()[name].capabilities if "float32" not in each.dtypes)
    dtypes = block.dtypes[0]
    scheme = f"-{block.granularities[0]}-{block.calibrations[0]}" if block.granularities[0] else ""
    recipe = Recipe.parse(f"{name}:{dtypes}{scheme}+equalize")
    assert engines()[name].refusal(recipe) is None


def test_the_float_model_is_not_prepared():
    refusal = engines()["onnxruntime"].refusal(Recipe.parse("onnxruntime:float32+equalize"))
    assert refusal == "float32 is the model as it is, and equalize prepares it to be quantized"


def test_a_pass_is_a_flag():
    refusal = engines()["onnxruntime"].refusal(Recipe.parse("onnxruntime:s8u8-per_channel-minmax+equalize=2"))
    assert "a value for the option equalize, which is a flag" in refusal


def test_recipes_that_treat_layers_alike_share_what_passes_make_for_them():
    fields = {"engine": "litert", "dtypes": "s4s8", "granularity": "per_channel", "calibration": "minmax"}
    plain = Recipe(**fields, options={"adaround": "", "pool_as_mean": ""})
    grid = WeightGrid(7, True, clipped=True)
    mixed, alike, other, left = (
        Recipe(**fields | more, name="mine", options=plain.options)
        for more in (
            {"weights": {"a": "s8"}},
            {"weights": {"a": "s8"}, "calibration": "moving_average"},
            {"weights": {"b": "s8"}},
            {"exclude": ("a",)},
        )
    )
    steps = [steps_of(recipe, grid, "") for recipe in (plain, mixed, alike, other, left)]
    assert steps[0] == ("pool_as_mean", "adaround=7_per_channel_clipped")
    assert steps[1] == steps[2] == ("pool_as_mean", f"adaround=7_per_channel_clipped_mix_{mix_of(mixed)}")
    assert len(set(steps)) == 4
    eight = left.model_copy(update={"dtypes": "s8s8"})
    assert mix_of(eight) == ""  # weights that were rounded for eight bits are good in float, too
