"""The search over recipes whose outcomes are made up: what is chosen, and where it stops."""

from __future__ import annotations

import numpy as np
import pytest

from bitpick.diagnosis.search import Search
from bitpick.recipe import Recipe
from tests.diagnosis.layers import SAMPLES, change, layer

PER_TENSOR = Recipe.parse("onnxruntime:u8u8-per_tensor-minmax")
PER_CHANNEL = Recipe.parse("onnxruntime:s8u8-per_channel-entropy")


class Made:
    """Changes that are given: how many of 1,000 are right, and decibels, by what is other in the recipe."""

    targets = np.zeros(SAMPLES, np.int64)

    def __init__(self, outcomes: dict[str, tuple[int, float]], fails: str = "") -> None:
        self.asked: list[str] = []
        self._outcomes = outcomes
        self._fails = fails

    def _of(self, recipe: Recipe) -> tuple[int, float]:
        words = (recipe.granularity, recipe.calibration, ",".join(recipe.exclude))
        known = [outcome for word, outcome in self._outcomes.items() if word in words]
        return max(known, default=(800, 10.0))

    def measure(self, recipes, told):
        for recipe in recipes:
            self.asked.append(recipe.id)
            correct, decibels = self._of(recipe)
            if not (self._fails and self._fails in recipe.id):
                told(recipe, change((900 - correct) / SAMPLES, decibels))

    def predictions(self, recipe):
        return right(self._of(recipe)[0])


def right(count: int) -> np.ndarray:
    return (np.arange(SAMPLES) >= count).astype(np.int32)


def search(recipe: Recipe, outcomes: dict[str, tuple[int, float]], fails: str = "") -> Search:
    layers = [layer(name, only_float=change(0.09, 11.0 + place)) for place, name in enumerate("abcdef")]
    return Search(Made(outcomes, fails), recipe, change(0.1, 10.0), right(800), layers)


def test_a_granularity_that_mends_it_is_enough():
    found = search(PER_TENSOR, {"per_channel": (899, 30.0)})
    assert found.next().recipe.granularity == "per_channel"
    assert len(found.tried) == 1


def test_what_helps_is_kept_and_the_rest_is_sought_on_top():
    found = search(PER_TENSOR, {"per_channel": (850, 15.0), "f": (899, 30.0)})
    chosen = found.next()
    assert chosen.recipe.granularity == "per_channel"
    assert chosen.recipe.exclude == ("f",)
    assert chosen.shown


def test_layers_are_left_out_one_by_one_the_most_helpful_first():
    found = search(PER_CHANNEL, {"f": (820, 12.0), "e,f": (840, 14.0), "d,e,f": (899, 30.0)})
    assert found.next().recipe.exclude == ("d", "e", "f")
    assert [each.recipe.exclude for each in found.tried] == [("f",), ("e", "f"), ("d", "e", "f")]


def test_it_stops_where_another_layer_changes_nothing():
    found = search(PER_CHANNEL, {"f": (830, 12.0), "e,f": (830, 12.0)})
    assert found.next().recipe.exclude == ("f",)
    assert len(found.tried) == 2


def test_where_nothing_helps_there_is_no_next_recipe():
    assert search(PER_TENSOR, {}).next() is None
    assert search(PER_CHANNEL, {"f": (780, 5.0)}).next() is None


def test_a_gain_of_little_that_is_not_shown_is_no_reason():
    assert search(PER_CHANNEL, {"f": (801, 12.0)}).next() is None


def test_a_recipe_that_fails_is_not_chosen():
    found = search(PER_TENSOR, {"per_channel": (899, 30.0), "percentile99.99": (899, 30.0)}, fails="per_channel")
    assert found.next().recipe.calibration == "percentile99.99"


@pytest.mark.parametrize("correct", [820, 899])
def test_gain_is_paired_with_the_diagnosed_recipe(correct):
    found = search(PER_CHANNEL, {"f": (correct, 12.0)})
    found.next()
    assert found.tried[0].gain == pytest.approx((correct - 800) / SAMPLES)
    assert found.tried[0].interval[0] < found.tried[0].gain < found.tried[0].interval[1]
