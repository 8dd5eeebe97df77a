from __future__ import annotations

import numpy as np
import pytest

from bitpick.engines.executed import FLOAT32, Executed, Operator, weight_grid
from bitpick.errors import EngineError
from bitpick.measures import coverage
from bitpick.recipe import Recipe
from bitpick.schema.fingerprint import Grid

S8 = Grid(dtype="s8", granularity="per_channel", symmetric=True, bits=8)
U8 = Grid(dtype="u8", granularity="per_tensor", symmetric=False, bits=8)
DYNAMIC = Grid(dtype="s8", granularity="per_tensor", bits=8, dynamic=True)
STATIC = "e:s8u8-per_channel-minmax"


def conv(name="c", weight=S8, activation=U8, arithmetic="u8", weights=100, macs=1000):
    return Operator(name, "Conv", arithmetic, weight, activation, weights, macs)


def dense(name="d", weight=FLOAT32):
    return Operator(name, "Gemm", "float32", weight, FLOAT32, 100, 100)


def table(weight=S8):
    return Operator("t", "Gather", "float32", weight, None, 1000)


def of(*operators, **ends):
    return Executed(operators, **ends)


def texts(recipe, executed, kept_as=None):
    parsed = Recipe.parse(recipe)
    return {f.code: f.text for f in coverage.flags(parsed, executed, kept_as or parsed.weight_dtype)}


def test_shares_are_of_work_and_of_weights():
    found = coverage.coverage(of(conv(), dense(), Operator("s", "Softmax", "float32")))
    assert found.macs == 1000 / 1100
    assert found.weights == 0.5
    assert found.float_operators == ["Gemm d", "Softmax s"]


def test_integer_weights_of_a_float_operator_are_kept_and_do_not_run():
    found = coverage.coverage(of(conv(weight=S8, activation=FLOAT32, arithmetic="float32")))
    assert (found.macs, found.weights) == (0.0, 1.0)


def test_a_table_counts_among_the_weights_and_neither_runs_in_float_nor_tells_how_layers_are_quantized():
    executed = of(conv(), table(FLOAT32))
    found = coverage.coverage(executed)
    assert (found.macs, found.weights) == (1.0, 100 / 1100)
    assert texts(STATIC, executed) == {}
    unlike = Grid(dtype="s8", granularity="per_tensor", symmetric=True, bits=8)
    assert coverage.fingerprint(of(conv(), table(unlike))).weights == S8


def test_integers_in_a_table_alone_are_no_build_that_runs_as_integers():
    assert coverage.failure(Recipe.parse(STATIC), of(dense(), table())) is not None


def test_what_could_not_be_counted_is_named():
    unknown = Operator("u", "Trees", "float32", FLOAT32, FLOAT32, 9, uncounted=True)
    executed = of(conv(), unknown)
    assert coverage.coverage(executed).uncounted == ["Trees u"]
    assert "100% of the multiply-accumulates that could be counted" in texts(STATIC, executed)["partly_float"]


def test_one_channel_has_one_scale_whatever_was_asked_for():
    single = conv(weight=weight_grid(np.array([[127, -3]], np.int8), 0, 1, "s8", channels=1))
    assert texts(STATIC, of(single)) == {}
    assert texts("e:s8u8-per_tensor-minmax", of(single)) == {}
    shared = conv("other", S8.model_copy(update={"granularity": "per_tensor"}), weights=1)
    says = "weights have per-tensor scales, not per-channel ones"
    assert texts(STATIC, of(single, shared)) == {"not_as_requested": says}


def test_a_graph_without_weights_has_no_shares():
    assert coverage.coverage(of(Operator("s", "Softmax", "float32"))).macs == 0.0


def test_the_fingerprint_is_of_what_is_quantized():
    small = conv("small", Grid(dtype="s8", granularity="per_tensor", symmetric=True, bits=7), weights=10, macs=10)
    found = coverage.fingerprint(of(dense(), small, conv(), Operator("s", "Softmax", "u8"), input="u8"))
    assert (found.weights, found.activations) == (S8, U8)
    assert (found.input, found.output, found.softmax) == ("u8", "float32", "u8")


def test_the_fingerprint_of_one_scheme_has_its_widest_grid_and_is_symmetric_only_where_all_is():
    narrow = S8.model_copy(update={"bits": 7, "symmetric": False})
    found = coverage.fingerprint(of(conv("a", narrow, weights=1000), conv("b", S8)))
    assert (found.weights.bits, found.weights.symmetric) == (8, False)
    unseen = S8.model_copy(update={"bits": None, "symmetric": None})
    assert coverage.fingerprint(of(conv("a", unseen), conv("b", S8))).weights.symmetric is None


def test_what_was_asked_for_gets_no_flag():
    assert texts(STATIC, of(conv())) == {}
    assert texts("e:s8dynamic", of(conv(activation=DYNAMIC, arithmetic="s8"))) == {}
    assert texts("e:s8weights", of(conv(activation=FLOAT32, arithmetic="float32"))) == {}
    assert texts("e:float32", of(dense())) == {}
    assert texts("e:float16", of(dense(weight=Grid(dtype="float16")))) == {}


@pytest.mark.parametrize(
    ("recipe", "operator", "says"),
    [
        ("e:u8u8-per_channel-minmax", conv(), "weights are s8, not u8"),
        ("e:s8s8-per_channel-minmax", conv(), "activations are u8, not s8"),
        ("e:s8u8-per_tensor-minmax", conv(), "weights have per-channel scales, not per-tensor ones"),
        (STATIC, conv(activation=DYNAMIC, arithmetic="s8"), "activations are dynamic s8, not u8"),
        ("e:s8dynamic", conv(), "activations are u8 with scales fixed beforehand, not dynamic"),
        (f"{STATIC}+reduced_range", conv(), "weights and activations use 8 bits, not the 7 of reduced range"),
        (f"{STATIC}+integer_io", conv(), "input is float32 and output float32, not integers"),
        (f"{STATIC}+symmetric_activations", conv(), "activations are not symmetric"),
        ("e:float32", conv(arithmetic="bfloat16"), "asked for float32, but Conv c run in bfloat16"),
    ],
)
def test_what_differs_from_the_request_is_flagged(recipe, operator, says):
    assert texts(recipe, of(operator))["not_as_requested"] == says


@pytest.mark.parametrize("bits", [(7, 8), (8, 7), (8, None)])
def test_reduced_range_is_of_weights_or_activations_and_not_doubted_where_it_cannot_be_seen(bits):
    weight, activation = (g.model_copy(update={"bits": b}) for g, b in zip((S8, U8), bits, strict=True))
    assert texts(f"{STATIC}+reduced_range", of(conv(weight=weight, activation=activation))) == {}


def test_what_the_recipe_leaves_in_float_and_the_runtime_does_not_is_flagged():
    scoped = Recipe.model_validate(Recipe.parse(STATIC).model_dump() | {"exclude": ["c", "layer"], "name": "n"})
    (flag,) = coverage.flags(scoped, of(conv("c"), conv("other")), "s8")
    assert flag.text == "the recipe leaves Conv c in float, but the runtime computes integers there"
    known = Operator("weight", "Conv", "u8", S8, U8, 100, 1000, layers=("layer",))
    assert [f.code for f in coverage.flags(scoped, of(known, conv("other")), "s8")] == ["not_as_requested"]


def test_weights_alone_that_are_multiplied_with_rounded_activations_are_flagged():
    executed = of(conv("a", S8, FLOAT32, "float32"), conv("b", S8, DYNAMIC, "s8", 10, 10))
    found = coverage.fingerprint(executed)
    assert (found.weights, found.activations) == (S8, FLOAT32)
    says = "activations should stay in float, but Conv b rounds them to 8 bits"
    assert texts("e:s8weights", executed) == {"not_as_requested": says}


def test_a_runtime_may_keep_weights_otherwise_where_it_was_told_to():
    unsigned = S8.model_copy(update={"dtype": "u8"})
    assert "not_as_requested" in texts(STATIC, of(conv(weight=unsigned)))
    assert texts(STATIC, of(conv(weight=unsigned)), kept_as="u8") == {}


def test_what_runs_in_float_is_named_and_what_the_recipe_leaves_in_float_is_not():
    assert texts(STATIC, of(conv(), dense()))["partly_float"] == (
        "1 of the 2 operators with weights run in float (Gemm d): 90% of the multiply-accumulates and 50% of the "
        "weights are integer"
    )
    scoped = Recipe.model_validate(Recipe.parse(STATIC).model_dump() | {"exclude": ["d"], "name": "n"})
    assert coverage.flags(scoped, of(conv(), dense()), "s8") == []
    assert "and 4 more" in texts(STATIC, of(conv(), *(dense(f"d{i}") for i in range(10))))["partly_float"]


@pytest.mark.parametrize(
    ("recipe", "operator", "says"),
    [
        (STATIC, dense(), "no part of this build runs as integers: the runtime executes Gemm d"),
        (STATIC, Operator("s", "Softmax", "float32"), "the runtime executes Softmax s"),
        (STATIC, Operator("t", "Trees", "float32", FLOAT32, FLOAT32, 9, uncounted=True), "executes Trees t"),
        ("e:s8dynamic", dense(), "no part of this build runs as integers"),
        ("e:s8weights", dense(), "no weight of this build is an integer"),
        ("e:float16", dense(), "no part of this build is float16"),
        ("e:bfloat16", dense(), "no part of this build is bfloat16"),
    ],
)
def test_a_build_that_is_nothing_of_what_was_asked_for_is_refused(recipe, operator, says):
    with pytest.raises(EngineError, match=says):
        coverage.check(Recipe.parse(recipe), of(operator))


@pytest.mark.parametrize(
    ("recipe", "operators", "says", "do"),
    [
        (
            STATIC,
            [Operator("s", "Softmax", "float32")],
            "this model has no layer that e quantizes",
            "try another engine",
        ),
        (STATIC, [dense()], "e left all layers in float", "--preset full"),
        ("e:s8weights", [dense()], "e left all layers in float", "--preset full"),
        ("e:float16", [dense()], "e does not compute this model in float16 on this machine", "ship float32"),
    ],
)
def test_a_refused_build_says_why_and_what_to_do(recipe, operators, says, do):
    with pytest.raises(EngineError, match=says) as caught:
        coverage.check(Recipe.parse(recipe), of(*operators))
    assert do in caught.value.fix


def test_a_recipe_that_excludes_all_layers_is_told_so():
    recipe = Recipe.parse(STATIC).model_copy(update={"exclude": ("*",)})
    with pytest.raises(EngineError, match="the recipe leaves all layers in float") as caught:
        coverage.check(recipe, of(dense(), conv(weight=FLOAT32, arithmetic="float32")))
    assert "exclude" in caught.value.fix


def test_a_build_that_is_some_of_what_was_asked_for_is_not():
    coverage.check(Recipe.parse(STATIC), of(conv(), dense()))
    coverage.check(Recipe.parse("e:bfloat16"), of(dense(), conv(weight=FLOAT32, arithmetic="bfloat16")))
    coverage.check(Recipe.parse(STATIC), of(Operator("a", "QLinearAdd", "u8"), Operator("s", "Softmax", "float32")))
    coverage.check(Recipe.parse("e:s8weights"), of(table(), dense()))
    coverage.check(Recipe.parse("e:float32"), of(dense()))


def test_negative_activations_may_be_signed_where_an_engine_says_so():
    signed = conv(activation=Grid(dtype="s8", granularity="per_tensor", symmetric=True, bits=8), arithmetic="s8")
    recipe = Recipe.parse(STATIC)
    assert [flag.code for flag in coverage.flags(recipe, of(signed), recipe.weight_dtype)] == ["not_as_requested"]
    assert coverage.flags(recipe, of(signed), recipe.weight_dtype, signs=True) == []


def test_indices_in_a_float_build_are_no_reduced_precision():
    assert texts("onnxruntime:float32", of(Operator("i", "Add", "int32"), Operator("m", "Mul", "i64"))) == {}
    assert "not_as_requested" in texts("onnxruntime:float32", of(Operator("h", "Gemm", "float16")))


S4 = Grid(dtype="s4", granularity="per_channel", symmetric=True, bits=4)
MIXED = Recipe(
    engine="e", dtypes="s4s8", granularity="per_channel", calibration="minmax", weights={"stem*": "s8"}, name="own"
)


def test_a_mixed_build_has_the_number_of_its_weights_by_dtype():
    executed = of(conv("stem", S8, weights=300), conv("a", S4, weights=200), conv("b", S4, weights=50))
    found = coverage.fingerprint(executed)
    assert (found.weights, found.mix) == (S8, {"s8": 300, "s4": 250})
    assert coverage.fingerprint(of(conv("a", S4), conv("b", S4), dense())).mix is None
    assert coverage.fingerprint(of(conv("a", S8), table(S4))).mix is None  # a lookup table is no layer


def test_what_a_recipe_mixes_gets_no_flag_and_what_it_does_not_get_gets_one():
    u8 = {"activation": U8.model_copy(update={"dtype": "s8"})}
    mixed = of(conv("stem/conv", S8, **u8), conv("a", S4, **u8))
    assert coverage.flags(MIXED, mixed, "s4") == []
    (flag,) = coverage.flags(MIXED, of(conv("stem/conv", S4, **u8), conv("a", S8, **u8)), "s4")
    assert flag.text.startswith("the recipe gives ")
    assert flag.text.endswith("stem/conv s8 weights, but the runtime has others there")
