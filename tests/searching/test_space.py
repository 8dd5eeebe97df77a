from __future__ import annotations

import re
from dataclasses import replace

import pytest

from bitpick.engines.fake.engine import FakeEngine
from bitpick.engines.litert.engine import LiteRtEngine
from bitpick.models.model import Format, Model, Signature, Tensor
from bitpick.recipe import Recipe
from bitpick.searching.ranking import Ranking
from bitpick.searching.space import EIGHT_BITS, IN_FLOAT, NOTHING, Space
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


class Ordered(Ranking):
    """A ranking of three layers, of which `wide` has eight bits in any case."""

    def knows(self, name):
        return name == "litert"

    def layers(self, recipe):
        return [("stem*", True), ("wide", False), ("body", True), ("head", True)]


FOUR = "litert:s4s8-per_channel-minmax+integer_io"


@pytest.fixture
def mixed(use_engines):
    use_engines(FakeEngine(), LiteRtEngine())
    return Space.of(["fake", "litert"], MODEL, this_host()).ranked(Ordered())


def test_the_layers_that_cost_most_have_eight_bits_or_stay_in_float(mixed):
    assert mixed.mixes(FOUR) == (EIGHT_BITS, IN_FLOAT)
    recipe = mixed.recipe(FOUR, True, "adaround", 2, 1)
    assert (recipe.exclude, recipe.weights) == (("stem[*]",), {"body": "s8", "head": "s8"})
    name, _, options = recipe.id.partition("+")
    assert re.fullmatch(r"litert:s4s8-per_channel-minmax-2_layers_s8-1_layer_float\.\w{8}", name)
    assert options == "adaround+integer_io+pool_as_mean"
    alone = mixed.recipe(FOUR, False, NOTHING, 1)
    assert (alone.name, alone.weights) == ("s4s8-per_channel-minmax-1_layer_s8", {"stem[*]": "s8"})
    assert mixed.recipe(FOUR, False, NOTHING) == Recipe.parse(FOUR)
    assert mixed.recipe(FOUR, False, NOTHING, 3, 1) is None  # no such layers are left


def test_only_four_bits_have_layers_with_eight_and_weights_alone_have_no_layers_in_float(mixed):
    assert mixed.mixes("litert:s8s8-per_channel-minmax") == ((0,), IN_FLOAT)
    assert mixed.mixes("litert:s4weights") == (EIGHT_BITS, (0,))
    assert mixed.mixes(SCHEMES[0]) == ((0,), (0,))  # the ranking has no names of its layers
    found = [recipe for recipe in mixed if recipe.engine == "litert"]
    assert len({recipe.id for recipe in found}) == len(found)
    counts = {(len(recipe.weights), len(recipe.exclude)) for recipe in found if recipe.dtypes == "s4s8"}
    assert counts == {(eight, left) for eight in EIGHT_BITS for left in IN_FLOAT} - {(3, 1), (3, 2), (2, 2)}


def test_a_model_that_nothing_can_prepare_has_plain_recipes_alone(fake_engine):
    space = Space.of(["fake"], replace(MODEL, passes=frozenset()), this_host())
    assert [recipe.id for recipe in space] == list(SCHEMES)
