from __future__ import annotations

from dataclasses import replace

import pytest

from bitpick.models.model import Format, Model, Signature, Tensor
from bitpick.recipe import Recipe
from bitpick.searching.space import NOTHING, Space
from bitpick.targets.host import this_host

SIGNATURE = Signature((Tensor("image", (4, 4, 3)),), (Tensor("scores", (4,)),))
MODEL = Model("m", Format.ONNX, "0" * 64, SIGNATURE, 1, 1, frozenset({"adaround", "pool_as_mean"}))
SCHEMES = ("fake:s8s8-per_tensor-minmax", "fake:s8u8-per_channel-minmax")


@pytest.fixture
def space(fake_engine):
    return Space.of(["fake", "onnxruntime"], MODEL, this_host())


def test_it_has_each_recipe_with_and_without_the_passes_that_can_prepare_the_model(space):
    assert space.schemes["fake"] == SCHEMES
    assert (space.rewriting, space.tuning) == (("pool_as_mean",), ("adaround",))
    found = [recipe.id for recipe in space if recipe.engine == "fake"]
    for scheme in SCHEMES:
        assert {scheme, f"{scheme}+adaround", f"{scheme}+pool_as_mean", f"{scheme}+adaround+pool_as_mean"} <= set(found)
    assert len(found) == len(set(found)) == 8


def test_recipes_that_an_engine_does_not_have_are_left_out(space):
    unsigned = next(each for each in space.schemes["onnxruntime"] if "u8u8" in each)
    assert space.recipe(unsigned, True, "adaround") is None
    assert space.recipe(unsigned, True, NOTHING) == Recipe.parse(f"{unsigned}+pool_as_mean")
    assert "float32" not in " ".join(space.schemes["onnxruntime"])


def test_a_model_that_nothing_can_prepare_has_plain_recipes_alone(fake_engine):
    space = Space.of(["fake"], replace(MODEL, passes=frozenset()), this_host())
    assert [recipe.id for recipe in space] == list(SCHEMES)
