from __future__ import annotations

import re
from collections import Counter
from math import prod

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bitpick.engines.registry import engine
from bitpick.measures import coverage
from bitpick.models.model import Format
from bitpick.recipe import Recipe
from bitpick.targets.host import this_host
from tests.engines.conftest import LAYERS, MACS, WEIGHTS, bits, codes, save, sizes, weighted

pytestmark = pytest.mark.frameworks

X86 = this_host().machine.lower() in ("x86_64", "amd64")
# What computes nothing: it moves numbers, or writes them in another format.
MOVES = re.compile(r"(De|Dynamic)?[qQ]uantizeLinear|Transpose|Reshape|Reorder(In|Out)put|Cast")
INTEGER = re.compile(r"QLinear\w+|QGemm|ConvInteger|MatMulInteger\w*|DynamicQuantizeMatMul")

FLOAT, WEIGHTS_ALONE, DYNAMIC = "onnxruntime:float32", "onnxruntime:s8weights", "onnxruntime:s8dynamic"
STATIC, PRECISE = "onnxruntime:s8u8-per_channel-minmax", "onnxruntime:s8u8-per_channel-minmax+x64quantprecision"
HALF_FLOAT = "onnxruntime:s8s8-per_tensor-minmax"
# Each with its weights' dtype, granularity, symmetry and bits, and the symmetry of its activations.
ALL_INTEGER = {
    STATIC: ("s8", "per_channel", True, 8, False),
    f"{STATIC}+reduced_range": ("s8", "per_channel", True, 7, False),
    f"{STATIC}+qoperator": ("s8", "per_channel", True, 8, False),
    "onnxruntime:s8u8-per_tensor-minmax": ("s8", "per_tensor", True, 8, False),
    "onnxruntime:u8u8-per_tensor-minmax": ("u8", "per_tensor", False, 8, False),
    "onnxruntime:u8u8-per_tensor-minmax+symmetric_weights": ("u8", "per_tensor", True, 8, False),
    DYNAMIC: ("s8", "per_tensor", True, 8, None),
    "onnxruntime:u8dynamic": ("u8", "per_tensor", False, 8, None),
}
EVERY = (FLOAT, WEIGHTS_ALONE, HALF_FLOAT, *ALL_INTEGER)


@pytest.fixture(scope="module")
def ran(builds, tmp_path_factory):
    """The kernels that ran for a recipe's build, and the graph that ONNX Runtime optimised."""
    folder = tmp_path_factory.mktemp("optimised")
    kept = {}

    def read(recipe):
        if recipe not in kept:
            out = folder / f"{len(kept)}.onnx"
            kept[recipe] = builds.ran(recipe, "onnxruntime_kernels", out=str(out)), onnx.load(out).graph
        return kept[recipe]

    return read


def arrays(graph):
    return {i.name: numpy_helper.to_array(i) for i in graph.initializer}


def grids(graph):
    """Dtype, granularity, symmetry and bits of each weight in a file, by how the quantizer names what belongs to it."""
    stored, found = arrays(graph), []
    for name, values in stored.items():
        if values.ndim < 2 or values.dtype not in (np.int8, np.uint8):
            continue
        zero = stored.get(name.replace("_quantized", "_zero_point"), np.zeros(1, values.dtype))
        scale = stored[name.replace("_quantized", "_scale")]
        middle = 128 if values.dtype == np.uint8 else 0
        symmetric = set(zero.flatten().tolist()) == {middle}
        spans = bits(values, middle) if symmetric else 8 if np.ptp(values.astype(int)) > 127 else 7
        granularity = "per_channel" if scale.size > 1 else "per_tensor"
        found.append(("u8" if middle else "s8", granularity, symmetric, spans))
    return found


@pytest.mark.parametrize("recipe", EVERY)
def test_every_kernel_that_ran_is_listed(builds, ran, recipe):
    kernels, _ = ran(recipe)
    assert Counter(o.kind for o in builds.executed(recipe).operators) == Counter(
        kernel for kernel in kernels if not MOVES.fullmatch(kernel)
    )


@pytest.mark.parametrize("recipe", [FLOAT, HALF_FLOAT, *ALL_INTEGER])
def test_an_operator_is_integer_where_its_kernel_is(builds, recipe):
    for operator in builds.executed(recipe).operators:
        assert operator.integer == bool(INTEGER.fullmatch(operator.kind)), operator


def test_the_baseline_is_float32_throughout(builds, ran):
    executed = builds.executed(FLOAT)
    assert {o.arithmetic for o in executed.operators} == {"float32"}
    assert {values.dtype for values in arrays(ran(FLOAT)[1]).values() if values.ndim > 1} == {np.dtype(np.float32)}
    assert coverage.fingerprint(executed).softmax == "float32"
    assert coverage.flags(Recipe.parse(FLOAT), executed, "float32") == []


@pytest.mark.parametrize("recipe", [WEIGHTS_ALONE, HALF_FLOAT, *ALL_INTEGER])
def test_weights_and_work_are_those_of_the_network(builds, ran, recipe):
    assert sizes(builds.executed(recipe)) == list(LAYERS)
    _, graph = ran(recipe)
    kept = {i.name: prod(i.dims) for i in graph.initializer if i.data_type in (TensorProto.INT8, TensorProto.UINT8)}
    # The one layer whose products have a kernel of their own is kept in blocks of 32, which its 16 inputs do not fill.
    kept = {name: size // (2 if "quantized_T" in name else 1) for name, size in kept.items()}
    assert sum(size for size in kept.values() if size > 16) == WEIGHTS
    assert coverage.coverage(builds.executed(recipe)).weights == 1.0


@pytest.mark.parametrize("recipe", [FLOAT, f"{FLOAT}+raw_graph"])
def test_float_work_is_that_of_the_network(builds, recipe):
    """Also where the kernels' blocks of channels are wider than the network, and weights are padded to them."""
    assert sizes(builds.executed(recipe)) == list(LAYERS)


@pytest.mark.parametrize("recipe", ALL_INTEGER)
def test_a_quantized_build_computes_on_integers(builds, recipe):
    found = coverage.coverage(builds.executed(recipe))
    assert (found.macs, found.weights) == (1.0, 1.0)
    assert not any(name.startswith(("Conv ", "FusedConv", "MatMul ", "Gemm")) for name in found.float_operators)
    assert coverage.flags(Recipe.parse(recipe), builds.executed(recipe), Recipe.parse(recipe).weight_dtype) == []


@pytest.mark.parametrize("recipe", ALL_INTEGER)
def test_the_fingerprint_is_the_files(builds, recipe):
    dtype, granularity, symmetric, width, symmetric_activations = ALL_INTEGER[recipe]
    found = coverage.fingerprint(builds.executed(recipe))
    grid = found.weights
    assert (grid.dtype, grid.granularity, grid.symmetric, grid.bits) == (dtype, granularity, symmetric, width)
    in_file = grids(onnx.load(builds.folder(recipe) / "model.onnx").graph)
    assert len(in_file) == len(LAYERS)
    assert {(d, g) for d, g, _, _ in in_file} == {(dtype, granularity)}
    assert all(s for _, _, s, _ in in_file) == symmetric
    assert max(b for _, _, _, b in in_file) == width
    activations = found.activations
    assert (activations.dtype, activations.granularity, activations.bits) == ("u8", "per_tensor", 8)
    assert activations.symmetric is symmetric_activations
    assert activations.dynamic == ("dynamic" in recipe)
    assert (found.input, found.output) == ("float32", "float32")


def test_dynamic_scales_are_found_as_the_build_runs(ran):
    kernels, _ = ran(DYNAMIC)
    assert kernels.count("ConvInteger") == 3
    # Each convolution's input is rounded by a kernel of its own, the dense layer's inside its product.
    assert kernels.count("DynamicQuantizeLinear") >= 2
    assert "DynamicQuantizeMatMul" in kernels
    assert "DynamicQuantizeLinear" not in ran(STATIC)[0]


def test_symmetric_activations_have_no_zero_point(builds):
    recipe = "onnxruntime:s8s8-per_tensor-minmax+symmetric_activations"
    stored = arrays(graph := onnx.load(builds.folder(recipe) / "model.onnx").graph)
    assert {int(stored[n.input[2]]) for n in graph.node if n.op_type == "QuantizeLinear"} == {0}
    assert coverage.fingerprint(builds.executed(recipe)).activations.symmetric is True


def test_weights_alone_are_turned_to_floats_where_they_are_used(builds, ran):
    _, graph = ran(WEIGHTS_ALONE)
    made = {name: node for node in graph.node for name in node.output}
    stored = arrays(graph)
    convolutions = [node for node in graph.node if node.op_type.endswith("Conv")]
    assert len(convolutions) == 3
    for node in convolutions:
        assert stored[made[node.input[1]].input[0]].dtype == np.int8
    found = coverage.fingerprint(builds.executed(WEIGHTS_ALONE))
    assert found.weights.model_dump(exclude={"dynamic"}) == {
        "dtype": "s8", "granularity": "per_channel", "symmetric": True, "bits": 8,
    }  # fmt: skip
    assert found.activations.dtype == "float32"
    assert {o.arithmetic for o in weighted(builds.executed(WEIGHTS_ALONE)) if "Conv" in o.kind} == {"float32"}


def test_weights_alone_ship_with_a_setting_that_keeps_products_in_float(builds, ran):
    """At level 4 of accuracy, the runtime's default, the kernel rounds its activations to 8 bits, block by block."""

    def product(recipe):
        return next(o for o in builds.executed(recipe).operators if o.kind == "MatMulNBits")

    (attributes,) = [n.attribute for n in ran(WEIGHTS_ALONE)[1].node if n.op_type == "MatMulNBits"]
    assert {a.name: a.i for a in attributes}["accuracy_level"] == 1
    assert not product(WEIGHTS_ALONE).integer
    fields = Recipe.parse(WEIGHTS_ALONE).model_dump() | {"name": "level4"}
    rounding = Recipe.model_validate(fields | {"settings": {"session.qdq_matmulnbits_accuracy_level": "4"}})
    assert product(rounding).integer
    assert product(rounding).activation.dynamic
    assert codes(coverage.flags(rounding, builds.executed(rounding), "s8")) == ["not_as_requested"]


def test_the_convolutions_that_stay_in_float_are_named(builds, ran):
    """With signed activations ONNX Runtime finds no integer kernel for every convolution."""
    _, graph = ran(HALF_FLOAT)
    stored = arrays(graph)
    layers = [n.name for n in onnx.load(builds.folder(HALF_FLOAT) / "model.onnx").graph.node if n.op_type == "Conv"]
    in_float = [n for n in graph.node if n.op_type in ("Conv", "FusedConv")]
    assert in_float
    names = {max((name for name in layers if node.name.startswith(name)), key=len) for node in in_float}
    executed = builds.executed(HALF_FLOAT)
    found = coverage.coverage(executed)
    assert {w for line in found.float_operators for kind, _, w in [line.partition(" ")] if "Conv" in kind} == names
    assert len(names) == len(in_float)
    integer = [stored[n.input[3]].size for n in graph.node if n.op_type in ("QLinearConv", "QLinearMatMul")]
    assert found.macs == sum(dict(LAYERS)[size] for size in integer) / MACS
    assert codes(coverage.flags(Recipe.parse(HALF_FLOAT), executed, "s8")) == ["not_as_requested", "partly_float"]


@pytest.mark.skipif(not X86, reason="the setting is for x86")
def test_the_precise_kernels_get_unsigned_weights(builds, ran):
    for recipe, stored, dtype in ((STATIC, TensorProto.INT8, "s8"), (PRECISE, TensorProto.UINT8, "u8")):
        sizes_of = {i.data_type: 0 for i in ran(recipe)[1].initializer}
        for initializer in ran(recipe)[1].initializer:
            if len(initializer.dims) > 1:
                sizes_of[initializer.data_type] += prod(initializer.dims)
        assert sizes_of[stored] == WEIGHTS
        grid = coverage.fingerprint(builds.executed(recipe)).weights
        assert (grid.dtype, grid.symmetric, grid.bits) == (dtype, True, 8)
    parsed = Recipe.parse(PRECISE)
    assert coverage.flags(parsed, builds.executed(PRECISE), engine("onnxruntime").weight_dtype(parsed)) == []
    assert codes(coverage.flags(parsed, builds.executed(PRECISE), "s8")) == ["not_as_requested"]


def test_a_dense_layer_can_be_left_out_of_dynamic_quantization(builds):
    """The quantizer renames it before it looks for the names that it shall leave alone."""
    graph = onnx.load(builds.form(Format.ONNX)).graph
    name = next(node.name for node in graph.node if node.op_type in ("Gemm", "MatMul"))
    fields = Recipe.parse("onnxruntime:s8dynamic").model_dump() | {"exclude": [name], "name": "scoped"}
    executed = builds.executed(Recipe.model_validate(fields))
    assert sum(not o.integer for o in weighted(executed)) == 1


def excluding(builds, strides):
    """A recipe that leaves the first convolution with these strides in float."""
    graph = onnx.load(builds.form(Format.ONNX)).graph
    convolutions = [(n.name, a.ints) for n in graph.node if n.op_type == "Conv" for a in n.attribute]
    name = next(name for name, ints in convolutions if list(ints) == strides)
    return Recipe.model_validate(Recipe.parse(STATIC).model_dump() | {"exclude": [name], "name": "scoped"})


def test_a_layer_that_the_recipe_leaves_in_float_gets_no_flag(builds):
    recipe = excluding(builds, [2, 2])
    executed = builds.executed(recipe)
    assert coverage.flags(recipe, executed, "s8") == []
    assert coverage.coverage(executed).macs == 1 - LAYERS[2][1] / MACS


def test_a_layer_that_the_recipe_leaves_in_float_stays_so_as_the_runtime_opens_the_file(builds):
    recipe = excluding(builds, [1, 1])
    in_file = grids(onnx.load(builds.folder(recipe) / "model.onnx").graph)
    assert len(in_file) == len(LAYERS) - 1
    assert sum(o.integer for o in weighted(builds.executed(recipe))) == len(LAYERS) - 1
    assert coverage.flags(recipe, builds.executed(recipe), "s8") == []


def test_seven_bit_unsigned_weights_are_symmetric_around_their_own_middle(builds):
    recipe = "onnxruntime:u8u8-per_tensor-minmax+reduced_range+symmetric_weights"
    stored = arrays(onnx.load(builds.folder(recipe) / "model.onnx").graph)
    assert {int(v) for name, v in stored.items() if name.endswith("weight_zero_point")} == {64}
    executed = builds.executed(recipe)
    assert coverage.fingerprint(executed).weights.symmetric is True
    assert coverage.flags(Recipe.parse(recipe), executed, "u8") == []


def test_a_node_without_a_name_is_read_too(builds, tmp_path):
    nodes = [
        helper.make_node("Flatten", ["image"], ["x"]),
        helper.make_node("MatMul", ["x", "w"], ["scores"]),
    ]
    weights = {"w": np.random.default_rng(0).normal(size=(192, 12)).astype(np.float32)}
    path = save(tmp_path / "unnamed.onnx", nodes, weights)
    executed = builds.executed("onnxruntime:s8u8-per_channel-minmax+raw_graph", path)
    assert sizes(executed) == [(192 * 12, 192 * 12)]
    assert coverage.coverage(executed).macs == 1.0


def test_a_concatenation_of_integers_is_no_float_operator(builds, tmp_path):
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Flatten", ["image"], ["x"], "flat"),
        helper.make_node("MatMul", ["x", "a"], ["y"], "one"),
        helper.make_node("MatMul", ["x", "b"], ["z"], "two"),
        helper.make_node("Concat", ["y", "z"], ["both"], "join", axis=1),
        helper.make_node("MatMul", ["both", "c"], ["scores"], "last"),
    ]
    shapes = {"a": (192, 6), "b": (192, 6), "c": (12, 12)}
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    executed = builds.executed(STATIC, save(tmp_path / "join.onnx", nodes, weights))
    assert coverage.coverage(executed).float_operators == []
