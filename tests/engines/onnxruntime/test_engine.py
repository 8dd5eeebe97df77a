from __future__ import annotations

import numpy as np

from bitpick.engines.engine import SessionSettings
from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine
from bitpick.models.model import Format
from bitpick.recipe import Recipe

ENGINE = OnnxRuntimeEngine()


def recipe(text: str) -> Recipe:
    return Recipe.parse(f"onnxruntime:{text}")


def test_the_raw_graph_option_starts_from_the_converters_graph():
    assert ENGINE.form(recipe("float32")) == (Format.ONNX,)
    assert ENGINE.form(recipe("s8s8-per_tensor-minmax+raw_graph")) == (Format.RAW_ONNX,)
    assert ENGINE.float_recipe(Format.RAW_ONNX) == recipe("float32+raw_graph")
    assert ENGINE.float_recipe(Format.KERAS) is None


def test_recipes_share_ranges_by_graph_and_method():
    keys = {
        text: ENGINE.calibration_key(recipe(text))
        for text in (
            "s8s8-per_tensor-minmax",
            "s8u8-per_channel-minmax+reduced_range",
            "u8u8-per_tensor-minmax+raw_graph",
        )
    }
    assert list(keys.values()) == ["onnx-minmax", "onnx-minmax", "raw_onnx-minmax"]
    assert ENGINE.calibration_key(recipe("float32")) is None


def test_the_session_runs_the_file(model_file, dataset, tmp_path):
    samples = dataset.samples(dataset.calibration)
    (tmp_path / "build").mkdir()
    build = ENGINE.build(model_file, recipe("float32"), samples, None, tmp_path / "build")
    batch = np.asarray(dataset.evaluation.inputs["image"][:5], np.float32)
    with ENGINE.open(build, SessionSettings(threads=1)) as session:
        (scores,) = session.outputs(session.run(session.prepare((batch,))))
    assert scores.shape == (5, 4)
    assert scores.dtype == np.float32


def test_a_choice_that_changes_nothing_is_refused():
    assert "changes nothing" in ENGINE.refusal(recipe("s8u8-per_channel-minmax+symmetric_weights"))
