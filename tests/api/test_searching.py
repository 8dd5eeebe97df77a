from __future__ import annotations

import numpy as np
import pytest

import bitpick
from bitpick.errors import RequestError
from bitpick.executors.inline import InlineExecutor
from tests.conftest import linear_model
from tests.kept import use_executor

IMAGES = np.random.default_rng(0).random((60, 4, 4, 3), dtype=np.float32)
LABELS = np.arange(60) % 4


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"goal": "beauty"}, "there is no goal 'beauty'"),
        ({"minutes": 0}, "minutes are out of range"),
        ({"minutes": float("nan")}, "minutes are out of range"),
        ({"seed": -1}, "the seed -1 is negative"),
    ],
)
def test_a_wrong_request_leaves_nothing(tmp_path, monkeypatch, options, says):
    model = linear_model(tmp_path / "m.onnx")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("BITPICK_CACHE", str(tmp_path / "cache"))
    with pytest.raises(RequestError) as error:
        bitpick.search(model, (IMAGES, LABELS), **options)
    assert says in str(error.value)
    assert list((tmp_path / "work").iterdir()) == []


def test_an_option_of_compare_alone_is_no_option(tmp_path):
    with pytest.raises(TypeError, match="preset"):
        bitpick.search(linear_model(tmp_path / "m.onnx"), (IMAGES, LABELS), preset="full")


@pytest.mark.usefixtures("fake_engine")
def test_the_preset_best_searches(tmp_path):
    options = {"preset": "best", "engines": ["fake"], "targets": ["host"], "bench_seconds": 0, "out": tmp_path / "run"}
    with use_executor(InlineExecutor(), tmp_path / "cache"):
        run = bitpick.compare(linear_model(tmp_path / "m.onnx"), (IMAGES, LABELS), accept_baseline=True, **options).run
    assert run.search.goal == "size"
    assert {row.id for row in run.rows if row.kind == "quantized"} == set(run.search.front)
