from __future__ import annotations

import pytest

from bitpick.engines.capability import Offer
from bitpick.engines.fake.engine import FakeEngine
from bitpick.engines.keras.engine import KerasEngine
from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine
from bitpick.models.model import Format
from bitpick.pipeline.reach import out_of_reach, with_reach
from bitpick.recipe import Recipe
from tests.selection.judging import request


class Absent(FakeEngine):
    """An engine whose library is not installed."""

    name = "absent"
    packages = ("no-such-distribution",)


@pytest.fixture
def offers(use_engines):
    use_engines(Absent(), KerasEngine(), OnnxRuntimeEngine())
    ids = ("absent:float32", "keras:float32", "onnxruntime:float32", "onnxruntime:s8dynamic")
    return [Offer(Recipe.parse(each), frozenset()) for each in ids]


def test_a_recipe_that_no_conversion_leads_to_says_so(offers):
    told = {each.recipe.engine: each.unsupported for each in with_reach(offers, Format.RAW_ONNX)}
    assert told["onnxruntime"] is None
    assert "no conversion goes there from raw_onnx" in told["keras"]


def test_engines_that_can_make_nothing_are_out_of_reach(offers):
    assert out_of_reach(offers, Format.RAW_ONNX, request()) == {"absent", "keras"}
    assert out_of_reach(offers, Format.KERAS, request()) == {"absent"}


@pytest.mark.parametrize("named", [{"engines": ["keras"]}, {"recipes": ["keras:float32"]}])
def test_who_asks_for_a_row_gets_one(offers, named):
    assert out_of_reach(offers, Format.RAW_ONNX, request().model_copy(update=named)) == {"absent"}
