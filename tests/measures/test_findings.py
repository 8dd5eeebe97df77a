from __future__ import annotations

import numpy as np
import pytest

from bitpick.engines.executed import FLOAT32, Executed, Operator
from bitpick.engines.fake.engine import FakeEngine
from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine
from bitpick.measures.findings import findings, weight_bytes
from bitpick.recipe import Recipe
from bitpick.schema.fingerprint import Grid
from bitpick.targets.host import this_host

STATIC = Recipe.parse("fake:s8u8-per_channel-minmax")
S8 = Grid(dtype="s8", granularity="per_channel", symmetric=True, bits=8)
RNG = np.random.default_rng(0)


def conv(name="conv", arithmetic="u8", weight=S8, weights=5000, macs=1000):
    return Operator(name, "Conv", arithmetic, weight, FLOAT32, weights, macs)


def find(executed, recipe=STATIC, constants=(), size=5000, engine=None):
    return {f.code: f for f in findings(recipe, engine or FakeEngine(), executed, constants, size)}


def test_a_build_that_is_all_integer_and_all_weights_has_nothing_to_say():
    ends = ("QuantizeLinear first", "DequantizeLinear last")
    softmax = Operator("s", "Softmax", "float32")
    assert find(Executed((conv(), softmax), conversions=ends)) == {}


def test_conversions_beyond_the_ends_are_named():
    names = ("QuantizeLinear a", "DequantizeLinear b", "QuantizeLinear c", "DequantizeLinear d")
    found = find(Executed((conv(),), conversions=names))["unfused"]
    assert found.about == "slow"
    assert found.text.startswith("4 operators only convert numbers between formats, of which 2 at the ends are enough")
    assert found.nodes == list(names)


@pytest.mark.parametrize(("ends", "enough"), [(("float32", "float32"), 2), (("s8", "float32"), 1), (("s8", "s8"), 0)])
def test_a_build_with_integer_ends_needs_fewer_conversions(ends, enough):
    def executed(count):
        return Executed((conv(),), *ends, conversions=tuple(f"Q {i}" for i in range(count)))

    assert find(executed(enough)) == {}
    assert set(find(executed(enough + 1))) == {"unfused"}


def test_float_operators_are_counted_by_kind_with_their_share_of_the_work():
    floats = [Operator(f"m{i}", "Mul", "float32") for i in range(2)]
    executed = Executed((conv(macs=600), conv("left", "float32", macs=400), *floats))
    found = find(executed)["float_operators"]
    assert found.text.startswith("1 Conv and 2 Mul compute in float, 40% of the multiply-accumulates")
    assert found.nodes == ["Conv left", "Mul m0", "Mul m1"]


def test_what_a_recipe_leaves_in_float_on_purpose_is_no_finding():
    recipe = STATIC.model_copy(update={"exclude": ("left",), "name": "x"})
    assert find(Executed((conv(), conv("left", "float32"))), recipe) == {}


def test_a_recipe_that_computes_in_float_by_design_has_no_unfused_conversions():
    weights_alone = Recipe.parse("fake:s8weights")
    executed = Executed((conv(arithmetic="float32"),), conversions=("DequantizeLinear w",) * 5)
    assert find(executed, weights_alone) == {}


def test_baselines_have_no_findings():
    executed = Executed((conv(arithmetic="float32", weight=FLOAT32),), transposes=("Transpose t",) * 2)
    assert find(executed, Recipe.parse("fake:float32"), size=10**6) == {}


def test_transposes_are_named():
    names = ("Transpose t", "Transpose u")
    assert find(Executed((conv(),), transposes=names[:1])) == {}  # what the model's layout asks for
    found = find(Executed((conv(),), transposes=names))["transposes"]
    assert found.text == "2 operators only bring numbers into another order in memory"
    assert found.nodes == list(names)


def test_what_is_stored_again_is_named_with_its_bytes():
    weight = RNG.normal(size=(10, 500)).astype(np.float32)
    rounded = np.round(weight / np.abs(weight).max() * 127).astype(np.int8)
    other = RNG.integers(-128, 128, (10, 500)).astype(np.int8)
    small = np.zeros(10, np.float32)
    constants = [("w8", rounded), ("w", weight), ("o", other), ("again", other.copy()), ("a", small), ("b", small)]
    found = find(Executed((conv(),)), constants=constants)["stored_twice"]
    assert sorted(found.nodes) == ["again is o", "w is w8"]
    assert found.text == "25.0 kB of 5.0 kB are stored a second time"


def test_a_weight_beside_itself_rounded_channel_by_channel_is_stored_twice():
    weight = RNG.normal(size=(8, 4, 5, 5)).astype(np.float32) * 10.0 ** np.arange(8).reshape(8, 1, 1, 1)
    weight = weight.astype(np.float32)
    scale = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / 127
    constants = [("w8", np.round(weight / scale).astype(np.int8)), ("w", weight)]
    assert find(Executed((conv(),)), constants=constants)["stored_twice"].nodes == ["w is w8"]


def test_constants_that_are_not_the_same_are_not_stored_twice():
    constants = [(str(i), RNG.normal(size=5000).astype(np.float32)) for i in range(3)]
    constants.append(("i", RNG.integers(-128, 128, 5000).astype(np.int8)))
    assert find(Executed((conv(),)), constants=constants) == {}


@pytest.mark.parametrize(("size", "said"), [(5000, False), (6100, False), (6300, True), (100_000, True)])
def test_what_lies_beside_the_weights_is_told_where_it_is_a_fifth(size, said):
    found = find(Executed((conv(),)), size=size)
    assert ("container" in found) == said
    if said:
        text = f"{(size - 5000) / 1000:.1f} kB of {size / 1000:.1f} kB are not weights"
        assert found["container"].text.startswith(text)


def test_nothing_is_said_of_what_lies_beside_weights_that_nobody_could_count():
    unknown = Operator("t", "Trees", "float32", FLOAT32, FLOAT32, uncounted=True)
    assert "container" not in find(Executed((conv(), unknown)), size=100_000)


def test_weights_count_in_the_format_that_they_are_kept_in():
    four = Grid(dtype="s4", granularity="per_channel", symmetric=True, bits=4)
    kept = [conv(weights=100), conv(weights=100, weight=four), conv(weights=100, weight=FLOAT32)]
    half = conv(weights=100, weight=Grid(dtype="float16"))
    assert weight_bytes(Executed((*kept, half, Operator("s", "Softmax", "float32")))) == 100 + 50 + 400 + 200


def test_conversions_beside_float_operators_lead_to_these():
    executed = Executed((conv(), conv("left", "float32")), conversions=tuple(f"Q {i}" for i in range(5)))
    assert find(executed)["unfused"].mend == "see which operators beside them compute in float"
    assert find(Executed((conv(),), conversions=executed.conversions))["unfused"].mend == ""


def test_an_engine_says_what_to_change():
    names = tuple(f"QuantizeLinear {i}" for i in range(5))
    for text, says in (
        ("onnxruntime:s8s8-per_tensor-minmax+raw_graph", "leave out +raw_graph"),
        ("onnxruntime:s8s8-per_tensor-minmax", "take unsigned activations"),
    ):
        found = find(Executed((conv(),), conversions=names), Recipe.parse(text), engine=OnnxRuntimeEngine())
        assert says in found["unfused"].mend
    unsigned = Recipe.parse("onnxruntime:u8u8-per_tensor-minmax")
    found = find(Executed((conv(),)), unsigned, engine=OnnxRuntimeEngine())
    assert ("slow_kernels" in found) == this_host().x86
    big = find(Executed((conv(),)), Recipe.parse("onnxruntime:s8u8-per_channel-minmax"), (), 9000, OnnxRuntimeEngine())
    assert "+qoperator" in big["container"].mend
