from __future__ import annotations

import pytest

from bitpick.engines.scoping import excluded, mixed
from bitpick.errors import EngineError
from bitpick.recipe import Recipe, pattern_of


def scoped(*exclude, **weights):
    return Recipe(
        engine="fake", dtypes="s4s8", granularity="per_channel", calibration="minmax", exclude=exclude,
        weights={pattern.replace("_", "*"): dtype for pattern, dtype in weights.items()}, name="own",
    )  # fmt: skip


def test_excluded_layers_come_in_the_order_of_the_graph():
    layers = ["conv_2", "conv_1", "model/dense/MatMul", "relu"]
    assert excluded(scoped("relu", "conv*"), layers) == ["conv_2", "conv_1", "relu"]
    assert excluded(scoped("*/dense/*"), layers) == ["model/dense/MatMul"]
    assert excluded(Recipe.parse("fake:s8s8-per_tensor-minmax"), layers) == []


def test_a_layer_with_a_star_in_its_name_can_be_excluded_alone():
    assert excluded(scoped(pattern_of("a*")), ["a*", "ab"]) == ["a*"]


def test_a_pattern_that_matches_nothing_is_refused_beside_others_that_do():
    with pytest.raises(EngineError, match="no layer of this model is called like 'densee'") as caught:
        excluded(scoped("dense", "densee"), (name for name in ("conv", "dense")))
    assert caught.value.expected == "a pattern that matches one of dense, conv"  # the nearest first
    with pytest.raises(EngineError) as caught:
        excluded(scoped("x"), [f"layer{i}" for i in range(15)])
    assert caught.value.expected.endswith("layer10, layer11 and 3 more")


LAYERS = (("stem/conv", "stem/relu"), ("body/conv",), ("head",))


def test_layers_that_any_of_their_names_is_matched_by_have_other_weights():
    assert mixed(scoped(_relu="s8", head="s8"), LAYERS) == [LAYERS[0], LAYERS[2]]
    assert mixed(scoped(_="s8"), LAYERS) == list(LAYERS)
    assert mixed(scoped("head"), LAYERS) == []


def test_a_pattern_of_weights_that_matches_nothing_is_refused():
    with pytest.raises(EngineError, match="no layer with weights of this model is called like 'hed'") as caught:
        mixed(scoped(hed="s8", _conv="s8"), LAYERS)
    assert caught.value.expected == "a pattern that matches one of head, stem/conv, stem/relu, body/conv"
    assert caught.value.fix == "change the recipe's weights"


def test_a_layer_that_stays_in_float_has_no_other_weights():
    assert mixed(scoped("stem*", _conv="s8"), LAYERS) == [LAYERS[1]]
