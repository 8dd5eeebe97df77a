from __future__ import annotations

from bitpick.diagnosis.candidates import calibrations, granularities, noisiest, ranked
from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine
from bitpick.engines.pytorch_fx.engine import PyTorchFxEngine
from bitpick.recipe import Recipe
from tests.diagnosis.layers import change, layer

ENGINE = OnnxRuntimeEngine()
PER_TENSOR = Recipe.parse("onnxruntime:u8u8-per_tensor-minmax")
LAYERS = [
    layer("a", weight_sqnr_db=12.5, activation_sqnr_db=30.0, outlier_ratio=2.0),
    layer("b", weight_sqnr_db=41.0, activation_sqnr_db=9.0, outlier_ratio=11.0),
    layer("c"),
]


def test_one_scale_for_a_tensor_can_become_one_for_each_channel():
    ((recipe, why),) = granularities(PER_TENSOR, LAYERS, ENGINE)
    assert recipe.id == "onnxruntime:u8u8-per_channel-minmax"
    assert "a 12.5 dB, b 41.0 dB" in why
    assert granularities(recipe, LAYERS, ENGINE) == []


def test_ranges_can_be_clipped_as_the_engine_can():
    found = calibrations(PER_TENSOR, LAYERS, ENGINE)
    assert [recipe.calibration for recipe, _ in found] == ["percentile99.99", "percentile99.9", "entropy"]
    assert "b 11 times the 99.99th percentile" in found[0][1]
    calm = [layer("a", activation_sqnr_db=30.0, outlier_ratio=2.0)]
    assert "noisiest outputs are a 30.0 dB" in calibrations(PER_TENSOR, calm, ENGINE)[0][1]
    assert len(calibrations(PER_TENSOR, [layer("x")], ENGINE)) == 3  # where nothing is known, too


def test_what_an_engine_does_not_have_is_no_candidate():
    fx = Recipe.parse("pytorch_fx:s8u8-per_channel-histogram")
    assert calibrations(fx, LAYERS, PyTorchFxEngine()) == []
    assert calibrations(Recipe.parse("onnxruntime:s8dynamic"), LAYERS, ENGINE) == []


def test_layers_are_ranked_by_right_predictions_where_these_tell_and_else_by_noise():
    whole = change(0.05)
    layers = [
        layer("quieter", only_float=change(0.049, sqnr_db=23.0)),
        layer("right", only_float=change(0.01, sqnr_db=20.5)),
        layer("worse", only_float=change(0.06, sqnr_db=19.0)),
        layer("same", only_float=change(0.05)),
        layer("quietest", only_float=change(0.048, sqnr_db=25.0)),
        layer("failed"),
    ]
    assert [each.name for each in ranked(layers, whole)] == ["right", "quietest", "quieter"]


def test_the_layers_that_add_most_noise_are_those_to_look_at():
    layers = [
        layer("a", activation_sqnr_db=40.0),
        layer("adds", activation_sqnr_db=12.0),
        layer("inherits", activation_sqnr_db=11.9),
        layer("weights", weight_sqnr_db=6.0, activation_sqnr_db=11.8),
        layer("unknown"),
    ]
    assert [each.name for each in noisiest(layers, 2)] == ["adds", "weights"]
    assert noisiest(layers, 9) == layers
