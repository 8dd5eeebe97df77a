from __future__ import annotations

import pytest

from bitpick.engines.litert.graph import Layer
from bitpick.engines.litert.library_recipe import leave_in_float, manager_of, mix
from bitpick.errors import EngineError
from bitpick.recipe import Recipe

pytestmark = pytest.mark.frameworks
qtyping = pytest.importorskip("litert_quantizer.qtyping", reason="LiteRT is not installed")
LAYERS = [
    Layer("CONV_2D", "stem;relu", "w", 1),
    Layer("DEPTHWISE_CONV_2D", "depth", "d", 2),
    Layer("FULLY_CONNECTED", "head", "v", 3),
]


def recipe(**weights):
    dtypes = "s8s8" if "s4" in weights.values() else "s4s8"
    return Recipe(
        engine="litert", dtypes=dtypes, granularity="per_channel", calibration="minmax", weights=weights, name="own"
    )


def bits(manager, kind, scope):
    """Bits of the weights of an operator, as the quantizer reads its recipe; None for one that stays in float."""
    key, config = manager.get_quantization_configs(qtyping.TFLOperationName(kind), scope)
    return None if "no_quant" in str(key).lower() else config.weight_tensor_config.num_bits


def test_a_layer_has_other_weights_by_any_of_its_names_and_no_other_layer_has():
    plain = recipe(relu="s8")
    manager = manager_of(plain)
    mix(manager, plain, LAYERS)
    assert [bits(manager, layer.kind, f"{layer.output};") for layer in LAYERS] == [8, 8, 4]
    assert bits(manager, "CONV_2D", "other_stem;relu;") == bits(manager, "CONV_2D", "relu;") == 4
    leave_in_float(manager, ["stem"], [])
    assert bits(manager, "CONV_2D", "stem;relu;") is None


def test_four_bits_are_refused_where_no_kernel_has_them():
    plain = recipe(depth="s4", head="s4")
    with pytest.raises(EngineError, match="no kernel with four-bit weights for DEPTHWISE_CONV_2D depth") as caught:
        mix(manager_of(plain), plain, LAYERS)
    assert caught.value.expected == "patterns that match layers of the types CONV_2D and FULLY_CONNECTED"
