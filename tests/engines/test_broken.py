from __future__ import annotations

import pytest

from bitpick.engines.broken import BrokenEngine
from bitpick.errors import EngineError
from bitpick.recipe import PRESETS, Recipe

REASON = "the engine does not load: update it"


def test_it_refuses_no_recipe_so_that_a_row_says_why_there_is_no_build():
    broken = BrokenEngine("breaks", REASON)
    assert broken.refusal(Recipe.parse("breaks:s8s8-per_tensor-minmax")) is None
    assert broken.missing() == REASON


def test_each_preset_has_a_row_that_says_why():
    (offer,) = BrokenEngine("breaks", REASON).recipes(None, None)
    assert (offer.recipe.id, offer.unsupported) == ("breaks:float32", REASON)
    assert offer.presets == set(PRESETS)


@pytest.mark.parametrize("work", ["build", "open", "inspect"])
def test_it_does_nothing(work):
    with pytest.raises(EngineError, match="breaks: the engine does not load"):
        getattr(BrokenEngine("breaks", REASON), work)(None, None)
