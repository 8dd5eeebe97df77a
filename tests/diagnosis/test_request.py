from __future__ import annotations

import pytest

from bitpick.diagnosis.request import check, make_diagnosis
from bitpick.errors import RecipeError, RequestError
from bitpick.pipeline.request import make_request
from bitpick.recipe import Recipe
from bitpick.schema.groups import Calibration
from bitpick.schema.other_groups import Depth

NAME = "fake:s8u8-per_channel-minmax"


def ask(model_file, name=NAME, **fields):
    return make_diagnosis(model_file, "tiny", Recipe.parse(name), name, **fields)[0]


def test_the_same_request_is_the_same_and_another_is_not(model_file, fake_engine):
    first = ask(model_file)
    assert first == ask(model_file)
    other = ask(model_file, calibration=Calibration(seed=1))
    assert len({first.sha256, ask(model_file, samples=10).sha256, other.sha256}) == 3
    compared = make_request(model_file, "tiny", recipes=[NAME], targets=["host"], target_samples=2000)[0]
    assert compared.sha256 != first.sha256


@pytest.mark.parametrize("field", ["samples", "layers"])
def test_none_is_too_few(field):
    with pytest.raises(RequestError, match=f"the number of {field} 0 is out of range"):
        Depth(**{field: 0})


def test_what_has_no_layers_to_look_at_is_refused_with_what_to_do():
    with pytest.raises(RecipeError, match="nothing to diagnose"):
        check(Recipe.parse("onnxruntime:float32"))
    with pytest.raises(RecipeError, match="cannot leave single layers in float") as caught:
        check(Recipe.parse("executorch:s8s8-per_channel-histogram"))
    assert "litert, onnxruntime" in caught.value.expected
    assert "diagnose the same dtypes with one of them" in caught.value.fix


def test_what_is_not_installed_is_said(monkeypatch):
    from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine

    monkeypatch.setattr(OnnxRuntimeEngine, "missing", lambda self: "x not installed: pip install y")
    with pytest.raises(RecipeError, match="pip install y"):
        check(Recipe.parse("onnxruntime:s8dynamic"))
