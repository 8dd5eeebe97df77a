from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bitpick.diagnosis.scoped import changed, only, without
from bitpick.recipe import Recipe

PLAIN = Recipe.parse("fake:s8u8-per_channel-minmax")
LAYERS = ["model/a*/b", "conv;x", "dense_1", "a[*]b", "plain"]


@given(st.sampled_from(LAYERS))
def test_one_layer_in_float_is_that_one_alone(layer):
    assert [each for each in LAYERS if without(PLAIN, [layer]).excludes(each)] == [layer]


@given(st.sampled_from(LAYERS))
def test_one_layer_quantized_is_that_one_alone(layer):
    assert [each for each in LAYERS if not only(PLAIN, layer, LAYERS).excludes(each)] == [layer]


@given(st.lists(st.text(min_size=1, max_size=9), min_size=2, max_size=5, unique=True))
def test_any_name_can_be_left_out_and_the_recipe_has_an_id(names):
    names = [name for name in names if f"/{name}/" not in names]
    recipe = without(PLAIN, names[:1])
    assert recipe.excludes(names[0])
    assert recipe.id == Recipe.model_validate(recipe.model_dump()).id
    assert recipe.file_name.startswith("fake__s8u8-per_channel-minmax-without-")


def test_layers_are_left_out_beside_those_that_are():
    once = without(PLAIN, ["a"])
    assert once.exclude == ("a",)
    assert without(once, ["b", "c"]).exclude == ("a", "b", "c")
    assert without(once, ["b", "c"]).name == "s8u8-per_channel-minmax-without-2-layers"
    assert only(once, "c", ["b", "c"]).exclude == ("a", "b")


def test_alone_in_the_network_it_is_the_recipe_itself():
    assert only(PLAIN, "a", ["a"]) == PLAIN


def test_another_calibration_is_another_recipe():
    assert changed(PLAIN, calibration="entropy").id == "fake:s8u8-per_channel-entropy"
    assert changed(without(PLAIN, ["a"]), granularity="per_tensor").exclude == ("a",)
