from __future__ import annotations

import xml.etree.ElementTree as ET
from math import prod

import numpy as np
import pytest
from onnx import helper

from bitpick.measures import coverage
from bitpick.recipe import Recipe
from bitpick.targets.host import this_host
from tests.engines.conftest import LAYERS, bits, positions, save, sizes, weighted

pytestmark = pytest.mark.frameworks

FLOAT, BFLOAT16, STATIC = "openvino:float32", "openvino:bfloat16", "openvino:s8u8-per_channel-minmax"
WEIGHTS_ONLY = ("openvino:s8weights", "openvino:s4weights")
HAS_BFLOAT16 = {"avx512_bf16", "amx_bf16"} & set(this_host().isa)
RECIPES = [
    FLOAT,
    STATIC,
    f"{STATIC}+mixed",
    *WEIGHTS_ONLY,
    pytest.param(BFLOAT16, marks=pytest.mark.skipif(not HAS_BFLOAT16, reason="this CPU computes nothing in bfloat16")),
]
WORDS = {"i8": "integer", "u8": "integer", "f32": "float32", "bf16": "bfloat16"}
PRODUCTS = ("Convolution", "GroupConvolution", "FullyConnected", "MatMul")


@pytest.fixture(scope="module")
def kernels(builds):
    """What OpenVINO's counters say of each node that computes: its type, and the number format of its kernel."""

    def read(recipe):
        nodes = builds.ran(recipe, "openvino_kernels")
        return [(name, kind, WORDS.get(kernel.rpartition("_")[2].lower(), kernel)) for name, kind, kernel in nodes]

    return read


def word(operator):
    return "integer" if operator.integer else operator.arithmetic


def constants(folder, dtype="i8"):
    """The integer constants of an IR: their values, and how many scales each is multiplied with."""
    root, data = ET.parse(folder / "model.xml").getroot(), (folder / "model.bin").read_bytes()
    layers = {layer.get("id"): layer for layer in root.iter("layer")}
    inputs = {(e.get("to-layer"), e.get("to-port")): layers[e.get("from-layer")] for e in root.iter("edge")}

    def maker(layer, port):
        return inputs[layer.get("id"), port]

    found = []
    for layer in layers.values():
        if layer.get("type") != "Multiply" or maker(layer, "0").get("type") != "Convert":
            continue
        stored, scale = maker(maker(layer, "0"), "0").find("data"), maker(layer, "1").find("data")
        if stored.get("element_type") == dtype:
            begin = int(stored.get("offset"))
            values = np.frombuffer(data[begin : begin + int(stored.get("size"))], np.int8)
            if dtype == "i4":
                values = np.stack([values << 4 >> 4, values >> 4], axis=1).ravel()  # the lower half first
            found.append((values, prod(int(size) for size in scale.get("shape").split(","))))
    return found


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_operator_computes_in_what_its_kernel_does(builds, kernels, recipe):
    in_kernels = [(name, found) for name, kind, found in kernels(recipe) if kind.startswith(PRODUCTS)]
    in_graph = weighted(builds.executed(recipe))
    assert [word(operator) for operator in in_graph] == [found for _, found in in_kernels]
    for operator, (name, _) in zip(in_graph, in_kernels, strict=True):
        assert name.startswith(operator.name)


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_has_no_weights_is_listed_too(builds, kernels, recipe):
    others = {"Add": "Eltwise", "PowerStatic": "Eltwise", "AvgPool": "Pooling", "Softmax": "Softmax"}
    ran = [(others[kind], found) for _, kind, found in kernels(recipe) if kind in others]
    assert [(o.kind, word(o)) for o in builds.executed(recipe).operators if o.weight is None] == ran


@pytest.mark.parametrize("recipe", RECIPES)
def test_weights_and_work_are_those_of_the_network(builds, recipe):
    assert sizes(builds.executed(recipe)) == list(LAYERS)


def test_the_baseline_is_float32_throughout(builds):
    executed = builds.executed(FLOAT)
    assert {o.arithmetic for o in executed.operators} == {"float32"}
    assert constants(builds.folder(FLOAT)) == []
    assert {o.weight.dtype for o in weighted(executed)} == {"float32"}
    assert coverage.flags(Recipe.parse(FLOAT), executed, "float32") == []


@pytest.mark.skipif(not HAS_BFLOAT16, reason="this CPU computes nothing in bfloat16")
def test_bfloat16_is_what_its_products_compute_in(builds):
    found = coverage.fingerprint(builds.executed(BFLOAT16))
    assert (found.weights.dtype, found.activations.dtype) == ("bfloat16", "bfloat16")
    assert (found.weights.bits, found.weights.symmetric, found.weights.granularity) == (None, None, None)
    assert (found.input, found.output, found.softmax) == ("float32", "float32", "float32")
    assert coverage.coverage(builds.executed(BFLOAT16)).macs == 0.0


@pytest.mark.parametrize("recipe", [STATIC, f"{STATIC}+mixed"])
def test_the_grids_are_the_files(builds, recipe):
    executed = builds.executed(recipe)
    stored = constants(builds.folder(recipe))
    assert [values.size for values, _ in stored] == [weights for weights, _ in LAYERS]
    for operator, (values, scales) in zip(weighted(executed), stored, strict=True):
        grid = operator.weight
        assert scales > 1
        assert (grid.dtype, grid.granularity, grid.symmetric, grid.bits) == ("s8", "per_channel", True, bits(values))
    # NNCF keeps the first layer to 7 bits, whose products do not saturate on any CPU.
    assert bits(stored[0][0]) == 7
    found = coverage.fingerprint(executed)
    assert (found.weights.bits, found.activations.bits) == (8, 8)
    # An activation starts at zero: what comes before is a ReLU, or an image.
    assert (found.activations.dtype, found.activations.symmetric) == ("u8", False)
    assert found.softmax == "float32"


@pytest.mark.parametrize("recipe", [STATIC, f"{STATIC}+mixed"])
def test_a_quantized_build_computes_on_integers(builds, recipe):
    executed = builds.executed(recipe)
    found = coverage.coverage(executed)
    assert (found.macs, found.weights) == (1.0, 1.0)
    assert [name.partition(" ")[0] for name in found.float_operators] == ["Softmax"]
    assert coverage.flags(Recipe.parse(recipe), executed, "s8") == []


@pytest.mark.parametrize("recipe", WEIGHTS_ONLY)
def test_weights_alone_are_integers_that_the_runtime_computes_with_in_float(builds, recipe):
    executed, width = builds.executed(recipe), int(recipe[len("openvino:s")])
    stored = constants(builds.folder(recipe), f"i{width}")
    assert [values.size for values, _ in stored] == [weights for weights, _ in LAYERS]
    assert all(values.min() == -(2 ** (width - 1)) and scales > 1 for values, scales in stored)
    assert {operator.arithmetic for operator in executed.operators} == {"float32"}
    shares, found = coverage.coverage(executed), coverage.fingerprint(executed)
    assert (shares.macs, shares.weights) == (0.0, 1.0)
    grid = found.weights
    assert (grid.dtype, grid.granularity, grid.symmetric, grid.bits) == (f"s{width}", "per_channel", True, width)
    assert found.activations.dtype == "float32"
    assert coverage.flags(Recipe.parse(recipe), executed, f"s{width}") == []


@pytest.mark.parametrize("recipe", WEIGHTS_ONLY)
def test_a_layer_whose_weights_the_recipe_leaves_in_float_has_float_weights(builds, recipe):
    name = weighted(builds.executed(FLOAT))[2].name
    scoped = Recipe.model_validate(Recipe.parse(recipe).model_dump() | {"exclude": [name], "name": "scoped"})
    executed, dtype = builds.executed(scoped), scoped.weight_dtype
    assert [o.weight.dtype for o in weighted(executed)] == [dtype, dtype, "float32", dtype]
    assert coverage.flags(scoped, executed, dtype) == []


def test_a_layer_that_the_recipe_leaves_in_float_is_float_and_gets_no_flag(builds, kernels):
    name = weighted(builds.executed(FLOAT))[2].name
    recipe = Recipe.model_validate(Recipe.parse(STATIC).model_dump() | {"exclude": [name], "name": "scoped"})
    products = [found for _, kind, found in kernels(recipe) if kind.startswith(PRODUCTS)]
    assert products == ["integer", "integer", "float32", "integer"]
    executed = builds.executed(recipe)
    work = [macs for _, macs in LAYERS]
    assert coverage.coverage(executed).macs == (sum(work) - work[2]) / sum(work)
    assert coverage.flags(recipe, executed, "s8") == []


@pytest.mark.parametrize("axes", [3, 2])
def test_a_product_with_a_vector_at_each_position_works_at_every_position(builds, tmp_path, axes):
    assert sizes(builds.executed(FLOAT, positions(tmp_path / "vectors.onnx", axes))) == [(3 * 12, 3 * 12 * 64)]


def test_a_name_with_a_comma_is_a_name(builds, tmp_path):
    nodes = [
        helper.make_node("Flatten", ["image"], ["x"], "flat"),
        helper.make_node("Gemm", ["x", "w", "b"], ["scores"], "dense, the last"),
    ]
    weights = {"w": np.ones((192, 12), np.float32), "b": np.ones(12, np.float32)}
    path = save(tmp_path / "comma.onnx", nodes, weights)
    assert sizes(builds.executed(FLOAT, path)) == [(192 * 12, 192 * 12)]
