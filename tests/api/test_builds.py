from __future__ import annotations

import numpy as np
import pytest

import bitpick
from bitpick.errors import RequestError
from tests.conftest import linear_model

IMAGES = np.random.default_rng(0).random((60, 4, 4, 3), dtype=np.float32)
LABELS = np.arange(60) % 4


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("BITPICK_CACHE", str(tmp_path / "cache"))
    return linear_model(tmp_path / "m.onnx")


@pytest.mark.parametrize("count", [0, 1])
def test_one_build_alone_has_nothing_to_be_timed_beside(model, count):
    with pytest.raises(RequestError, match=f"{count} build to time") as error:
        bitpick.bench(*[model] * count, data=(IMAGES, LABELS))
    assert error.value.expected == "two or more; the first is the reference"


@pytest.mark.parametrize("name", ["batch", "threads", "processes", "pairs"])
def test_less_than_one_of_anything_is_refused_before_the_data_is_looked_at(name):
    with pytest.raises(RequestError, match=f"the number of {name} 0 is out of range"):
        bitpick.bench("a", "b", data="no such data", **{name: 0})


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda model, out: bitpick.convert(model, "onx", out, "nothing"), "did you mean onnx?"),
        (lambda model, out: bitpick.quantize(model, "onnxruntime:s8u8", out, (IMAGES, LABELS)), "needs a granularity"),
        (
            lambda model, out: bitpick.quantize(model, "onnxruntme:float32", out, (IMAGES, LABELS)),
            "did you mean onnxruntime?",
        ),
        (lambda model, _: bitpick.evaluate(model, "nothing", metric="acuracy"), "no metric 'acuracy'"),
        (lambda model, _: bitpick.evaluate(model, (IMAGES[:5], LABELS)), "60"),
    ],
    ids=["format", "recipe", "engine", "metric", "data"],
)
def test_a_wrong_request_names_what_is_wrong_and_leaves_nothing(model, tmp_path, call, says):
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(RequestError) as error:
        call(model, tmp_path / "out")
    assert says in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
