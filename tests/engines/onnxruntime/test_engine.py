from __future__ import annotations

import numpy as np
import onnx
import pytest

from bitpick.engines.engine import SessionSettings
from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine
from bitpick.measures import coverage
from bitpick.models.model import Format
from bitpick.recipe import Recipe
from tests.passes import layer_models

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


@pytest.mark.frameworks
@pytest.mark.parametrize(("dtypes", "mix"), [("s4weights", {"s4": 12, "s8": 18}), ("s8weights", {"s8": 12, "s4": 18})])
def test_a_mixed_build_reports_the_bits_that_it_has(tmp_path, dtypes, mix):
    rng = np.random.default_rng(0)
    stored = {"w": rng.normal(size=(3, 6)).astype(np.float32), "v": rng.normal(size=(6, 2)).astype(np.float32)}
    nodes = [
        onnx.helper.make_node("Gemm", ["x", "w"], ["h"], "body/first"),
        onnx.helper.make_node("Relu", ["h"], ["r"], "body/relu"),
        onnx.helper.make_node("Gemm", ["r", "v"], ["y"], "head"),
    ]
    onnx.save(layer_models.model(nodes, stored, ["n", 3]), tmp_path / "m.onnx")
    samples = layer_models.samples(tmp_path, rng.normal(size=(20, 3)).astype(np.float32))
    plain = recipe(dtypes)
    mixed = plain.model_copy(update={"weights": {"body/*": plain.mixed_with}, "name": "own"})
    (tmp_path / "build").mkdir()
    build = ENGINE.build(tmp_path / "m.onnx", mixed, samples, None, tmp_path / "build")
    executed = ENGINE.inspect(build, (np.ones((1, 3), np.float32),))
    assert coverage.fingerprint(executed).mix == mix
    assert coverage.flags(mixed, executed, ENGINE.weight_dtype(mixed)) == []
    swapped = plain.model_copy(update={"weights": {"head": plain.mixed_with}, "name": "own"})
    told = [flag.text for flag in coverage.flags(swapped, executed, ENGINE.weight_dtype(swapped))]
    assert len(told) == 1
    assert told[0].endswith(f" head {plain.mixed_with} weights, but the runtime has others there")
    with ENGINE.open(build, SessionSettings()) as session:
        batch = rng.normal(size=(5, 3)).astype(np.float32)
        (found,) = session.outputs(session.run(session.prepare((batch,))))
    expected = np.maximum(batch @ stored["w"], 0) @ stored["v"]
    assert 0 < np.abs(found - expected).max() < 0.3 * expected.std()
