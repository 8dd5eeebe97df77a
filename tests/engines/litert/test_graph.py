from __future__ import annotations

import numpy as np
import pytest

from bitpick.measures import coverage
from bitpick.recipe import Recipe
from tests.engines.conftest import LAYERS, bits, sizes, weighted

pytestmark = pytest.mark.frameworks

FLOAT, FLOAT16 = "litert:float32", "litert:float16"
STATIC, INTEGER_IO = "litert:s8s8-per_channel-minmax", "litert:s8s8-per_channel-minmax+integer_io"
DYNAMIC, WEIGHTS_ALONE = "litert:s8dynamic", "litert:s8weights"
EVERY = (FLOAT, FLOAT16, STATIC, INTEGER_IO, DYNAMIC, WEIGHTS_ALONE)
MOVES = ("QUANTIZE", "DEQUANTIZE", "RESHAPE", "SHAPE", "STRIDED_SLICE", "PACK")
PRODUCTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
WORDS = {"INT8": "s8", "FLOAT32": "float32", "FLOAT16": "float16"}


@pytest.fixture(scope="module")
def file(builds):
    """The file of a recipe's build, by the format's own schema."""
    return lambda recipe: builds.read(recipe, "litert_file")


def products(found):
    """The products in a file: each with its first input, its weight, and whether that is turned to floats before."""
    made = {o["output"]["place"]: o for o in found["operators"]}
    for operator in found["operators"]:
        if operator["kind"] in PRODUCTS:
            data, weight = operator["inputs"][:2]
            turned = made.get(weight["place"])
            yield data, turned["inputs"][0] if turned else weight, turned is not None


@pytest.mark.parametrize("recipe", EVERY)
def test_every_operator_of_the_file_is_listed(builds, file, recipe):
    found = file(recipe)
    assert [o.kind for o in builds.executed(recipe).operators] == [
        o["kind"] for o in found["operators"] if o["kind"] not in MOVES
    ]


@pytest.mark.parametrize("recipe", EVERY)
def test_weights_and_work_are_those_of_the_network(builds, file, recipe):
    assert sizes(builds.executed(recipe)) == list(LAYERS)
    assert [np.prod(weight["shape"]) for _, weight, _ in products(file(recipe))] == [size for size, _ in LAYERS]


@pytest.mark.parametrize("recipe", EVERY)
def test_an_operator_computes_in_what_the_file_has(builds, file, recipe):
    for operator, (data, weight, turned) in zip(weighted(builds.executed(recipe)), products(file(recipe)), strict=True):
        assert operator.weight.dtype == WORDS[weight["dtype"]]
        # Float numbers times integers, with nothing that turns these to floats: they are rounded as the kernel runs.
        dynamic = data["dtype"] == "FLOAT32" and weight["dtype"] == "INT8" and not turned
        assert operator.arithmetic == ("s8" if dynamic else WORDS[data["dtype"]])
        assert operator.activation.dynamic == dynamic
        assert dynamic == (recipe == DYNAMIC)


@pytest.mark.parametrize("recipe", [STATIC, INTEGER_IO, DYNAMIC, WEIGHTS_ALONE])
def test_the_grids_are_the_files(builds, file, recipe):
    executed = builds.executed(recipe)
    for operator, (data, weight, _) in zip(weighted(executed), products(file(recipe)), strict=True):
        assert set(weight["zero_points"]) == {0}
        assert weight["scales"] > 1
        assert bits(weight["integers"]) == 8
        grid = operator.weight
        assert (grid.dtype, grid.granularity, grid.symmetric, grid.bits) == ("s8", "per_channel", True, 8)
        if recipe in (STATIC, INTEGER_IO):
            assert operator.activation.granularity == "per_tensor"
            assert operator.activation.symmetric == (data["zero_points"] == [0])
    assert coverage.coverage(executed).weights == 1.0
    assert coverage.flags(Recipe.parse(recipe), executed, "s8") == []


def test_the_baseline_is_float32_throughout(builds, file):
    executed = builds.executed(FLOAT)
    assert {o.arithmetic for o in executed.operators} == {"float32"}
    assert {t["dtype"] for o in file(FLOAT)["operators"] for t in o["inputs"]} <= {"FLOAT32", "INT32"}
    assert coverage.flags(Recipe.parse(FLOAT), executed, "float32") == []


@pytest.mark.parametrize(("recipe", "softmax"), [(STATIC, "s8"), (INTEGER_IO, "s8"), (DYNAMIC, "float32")])
def test_a_quantized_build_computes_on_integers(builds, recipe, softmax):
    executed = builds.executed(recipe)
    found = coverage.coverage(executed)
    assert found.macs == 1.0
    in_float = [] if softmax == "s8" else ["ADD", "AVERAGE_POOL_2D", "SOFTMAX"]
    assert [name.partition(" ")[0] for name in found.float_operators] == in_float
    assert coverage.fingerprint(executed).softmax == softmax


@pytest.mark.parametrize("recipe", [WEIGHTS_ALONE, FLOAT16])
def test_what_only_stores_its_weights_small_computes_in_float(builds, recipe):
    executed = builds.executed(recipe)
    assert {o.arithmetic for o in executed.operators} == {"float32"}
    assert coverage.coverage(executed).macs == 0.0
    found = coverage.fingerprint(executed)
    assert (found.weights.dtype, found.activations.dtype) == ("float16" if recipe == FLOAT16 else "s8", "float32")


@pytest.mark.parametrize("recipe", EVERY)
def test_input_and_output_are_the_files(builds, file, recipe):
    found = coverage.fingerprint(builds.executed(recipe))
    in_file = file(recipe)
    assert (found.input, found.output) == (WORDS[in_file["input"]], WORDS[in_file["output"]])
    assert (found.input == "s8") == (found.output == "s8") == (recipe == INTEGER_IO)


def test_dynamic_scales_are_seen_in_what_a_build_gives(builds, file):
    """Two builds with the same weights differ by what they do with their activations."""
    stored = [[weight["integers"] for _, weight, _ in products(file(recipe))] for recipe in (DYNAMIC, WEIGHTS_ALONE)]
    assert stored[0] == stored[1]
    dynamic, alone = (np.array(builds.ran(recipe, "scores")) for recipe in (DYNAMIC, WEIGHTS_ALONE))
    assert 1e-4 < np.abs(dynamic - alone).max() < 0.05


def scoped(builds, file, place):
    """A recipe that leaves a product in float, named by what the file calls its output."""
    names = [o["output"]["name"] for o in file(FLOAT)["operators"] if o["kind"] in PRODUCTS]
    exclude = [names[place].partition(";")[0]]
    return Recipe.model_validate(Recipe.parse(STATIC).model_dump() | {"exclude": exclude, "name": f"without_{place}"})


@pytest.mark.parametrize("place", range(4))
def test_a_layer_that_the_recipe_leaves_in_float_is_float(builds, file, place):
    executed = builds.executed(scoped(builds, file, place))
    in_float = [data["dtype"] == "FLOAT32" for data, _, _ in products(file(scoped(builds, file, place)))]
    assert in_float == [i == place for i in range(4)]
    assert [not o.integer for o in weighted(executed)] == in_float
    work = [macs for _, macs in LAYERS]
    assert coverage.coverage(executed).macs == (sum(work) - work[place]) / sum(work)


def test_a_layer_that_the_recipe_leaves_in_float_gets_no_flag(builds, file):
    recipe = scoped(builds, file, 0)
    assert coverage.flags(recipe, builds.executed(recipe), "s8") == []
