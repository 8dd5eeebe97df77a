from __future__ import annotations

from pathlib import Path

from bitpick.pipeline.trial import Trial
from bitpick.recipe import Recipe

RECIPE = Recipe.parse("fake:s8s8-per_tensor-minmax")


def test_a_trial_has_the_name_of_its_row_unless_it_says_another():
    assert Trial(RECIPE, Path("build")).name == "fake:s8s8-per_tensor-minmax"
    assert Trial(RECIPE, Path("build"), target="phone").name == "fake:s8s8-per_tensor-minmax@phone"
    assert Trial(RECIPE, Path("build"), target="phone", subject="the third draw").name == "the third draw"
