from __future__ import annotations

import numpy as np
import pytest

from bitpick.engines.engine import Build
from bitpick.engines.litert.engine import LiteRtEngine
from bitpick.measures import coverage
from bitpick.models.model import Format
from bitpick.recipe import Recipe, baseline
from tests.engines.conftest import sizes
from tests.engines.litert.files import Graph, Tensor, op, stored, write

pytestmark = pytest.mark.frameworks
pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed: pip install 'bitpick[litert]'")

ENGINE = LiteRtEngine()
FLOAT, STATIC = "litert:float32", "litert:s8s8-per_channel-minmax"
RNG = np.random.default_rng(0)


def random(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def integers(*shape):
    found = RNG.integers(-127, 128, shape).astype(np.int8)
    found.flat[0] = 127
    return found


def executed(path, sample=None):
    """What LiteRT executes of a file, for a sample of three numbers if for no other."""
    build = Build(baseline("litert"), path.parent, (path.name,))
    return ENGINE.inspect(build, (np.ones((1, 3), np.float32) if sample is None else sample,))


X, Y = Tensor("x", (1, 3)), Tensor("y", (1, 4))
PER_CHANNEL = {"scales": (0.1, 0.2, 0.3, 0.4)}


def dense(path, weight, *more, ends="x w - -> y", x=X, y=Y):
    """A file with one dense layer."""
    tensors = [x, weight, *(tensor for tensor, _ in more), y]
    ops = [*(before for _, before in more), op("FULLY_CONNECTED", ends)]
    return write(path, Graph(tensors, ops, "x", "y"))


def test_float_weights_are_multiplied_in_float(tmp_path):
    (found,) = executed(dense(tmp_path / "m.tflite", stored("w", random(4, 3)))).operators
    assert (found.name, found.kind, found.weights, found.macs) == ("w", "FULLY_CONNECTED", 12, 12)
    assert (found.arithmetic, found.weight.dtype, found.activation.dtype) == ("float32", "float32", "float32")


def test_integer_weights_of_float_numbers_have_these_rounded_as_the_kernel_runs(tmp_path):
    (found,) = executed(dense(tmp_path / "m.tflite", stored("w", integers(4, 3), **PER_CHANNEL))).operators
    assert (found.arithmetic, found.activation.dynamic) == ("s8", True)
    assert (found.weight.granularity, found.weight.symmetric, found.weight.bits) == ("per_channel", True, 8)


def test_integer_weights_that_are_turned_to_floats_are_kept_small_and_multiplied_in_float(tmp_path):
    turned = Tensor("f", (4, 3)), op("DEQUANTIZE", "w -> f")
    weight = stored("w", integers(4, 3), scales=(0.1,))
    (found,) = executed(dense(tmp_path / "m.tflite", weight, turned, ends="x f - -> y")).operators
    assert (found.name, found.weights) == ("w", 12)
    assert (found.arithmetic, found.activation.dtype) == ("float32", "float32")
    assert (found.weight.dtype, found.weight.granularity) == ("s8", "per_tensor")


@pytest.mark.parametrize("zero", [0, -5])
def test_integers_are_symmetric_where_their_zero_is_in_the_middle(tmp_path, zero):
    x = Tensor("x", (1, 3), dtype=np.int8, scales=(0.5,), zeros=(zero,))
    y = Tensor("y", (1, 4), dtype=np.int8, scales=(0.5,))
    path = dense(tmp_path / "m.tflite", stored("w", integers(4, 3), scales=(0.1,)), x=x, y=y)
    found = executed(path)
    (product,) = found.operators
    assert (found.input, found.output, product.arithmetic) == ("s8", "s8", "s8")
    assert (product.activation.symmetric, product.activation.dynamic) == (zero == 0, False)


def test_weights_that_two_operators_share_count_once_and_work_twice(tmp_path):
    tensors = [X, stored("w", random(3, 3)), Tensor("z", (1, 3)), Tensor("y", (1, 3))]
    ops = [op("FULLY_CONNECTED", "x w - -> z"), op("FULLY_CONNECTED", "z w - -> y")]
    found = executed(write(tmp_path / "m.tflite", Graph(tensors, ops, "x", "y")))
    assert sizes(found) == [(9, 9), (0, 9)]


def test_a_table_has_weights_and_no_work_and_numbers_in_a_row_are_none(tmp_path):
    ids = Tensor("x", (1, 2), dtype=np.int32)
    table = Graph([ids, stored("t", random(50, 3)), Tensor("y", (1, 2, 3))], [op("GATHER", "t x -> y")], "x", "y")
    (found,) = executed(write(tmp_path / "t.tflite", table), np.array([[1, 2]], np.int32)).operators
    assert (found.weights, found.macs, found.multiplies) == (150, 0, False)
    row = Graph([ids, stored("t", random(50)), Tensor("y", (1, 2))], [op("GATHER", "t x -> y")], "x", "y")
    assert executed(write(tmp_path / "r.tflite", row), np.array([[1, 2]], np.int32)).operators == ()


def test_an_operator_has_the_names_of_all_layers_that_are_fused_into_it(tmp_path):
    y = Tensor("net/dense/MatMul;net/relu/Relu;1", (1, 4))
    product = op("FULLY_CONNECTED", f"x net/dense/w - -> {y.name}")
    path = write(tmp_path / "m.tflite", Graph([X, stored("net/dense/w", random(4, 3)), y], [product], "x", y.name))
    (found,) = executed(path).operators
    assert found.layers == ("net/dense/MatMul", "net/relu/Relu")
    assert found.name == "net/dense/w"


TURN, GOES_ON = Tensor("i", (), dtype=np.int32), Tensor("c", (), dtype=np.bool_)


def loop(path, handed):
    """A file that multiplies by a weight six times; the weight lies in the body, or is handed on from turn to turn."""
    weight, z, j = stored("w", random(3, 3)), Tensor("z", (1, 3)), Tensor("j", (), dtype=np.int32)
    given = Tensor("v", (3, 3))
    more, names = ([given], " v") if handed else ([], "")
    inner = given if handed else weight
    body = Graph(
        [TURN, X, inner, stored("one", np.int32(1)), j, z],
        [op("ADD", "i one -> j"), op("FULLY_CONNECTED", f"x {inner.name} - -> z")],
        f"i x{names}",
        f"j z{names}",
    )
    limit = stored("limit", np.int32(6))
    condition = Graph([TURN, X, *more, limit, GOES_ON], [op("LESS", "i limit -> c")], f"i x{names}", "c")
    ends = [Tensor("n", (), dtype=np.int32), Tensor("y", (1, 3)), *([Tensor("same", (3, 3))] if handed else [])]
    run = f"start x{' w' * handed} -> n y{' same' * handed}"
    whole = Graph(
        [stored("start", np.int32(0)), X, *([weight] if handed else []), *ends],
        [op("WHILE", run, condSubgraphIndex=1, bodySubgraphIndex=2)],
        "x",
        "y",
    )
    return write(path, whole, condition, body)


@pytest.mark.parametrize("handed", [False, True])
def test_the_body_of_a_loop_works_at_each_turn(tmp_path, handed):
    found = executed(loop(tmp_path / "m.tflite", handed))
    assert [size for size in sizes(found) if any(size)] == [(9, 6 * 9)]
    assert coverage.coverage(found).uncounted == []


@pytest.fixture(scope="module")
def unusual(builds, tmp_path_factory):
    """A dense layer at 64 positions, a transposed convolution, a product of activations, and a dense layer."""
    keras = builds.unusual(tmp_path_factory.mktemp("unusual") / "unusual.keras")
    return builds.convert(keras, Format.KERAS, Format.LITERT)


def test_work_is_counted_where_a_size_is_found_as_the_build_runs(builds, unusual):
    dense = next(o for o in builds.executed(FLOAT, unusual).operators if o.kind == "FULLY_CONNECTED")
    assert (dense.weights, dense.macs) == (3 * 12, 3 * 12 * 64)


def test_a_transposed_convolution_computes_in_what_its_data_is(builds, unusual):
    found = next(o for o in builds.executed(FLOAT, unusual).operators if o.kind == "TRANSPOSE_CONV")
    assert (found.weights, found.macs) == (12 * 8 * 2 * 2, 12 * 8 * 2 * 2 * 8 * 8)
    assert (found.arithmetic, found.activation.dtype) == ("float32", "float32")


def test_a_product_of_activations_has_no_weights(builds, unusual):
    executed = builds.executed(FLOAT, unusual)
    assert [o.weights for o in executed.operators if o.kind == "BATCH_MATMUL"] == [0]


def test_a_static_build_with_a_product_of_activations_is_read(builds, unusual):
    assert coverage.coverage(builds.executed(STATIC, unusual)).macs == 1.0


def test_arithmetic_on_shapes_is_neither_float_nor_quantized(builds, unusual):
    executed = builds.executed(FLOAT, unusual)
    assert {o.arithmetic for o in executed.operators} == {"float32"}
    assert coverage.flags(Recipe.parse(FLOAT), executed, "float32") == []


@pytest.fixture(scope="module")
def control(builds, tmp_path_factory):
    """Files with work in a loop, in a branch, and with weights in front of what they multiply."""
    return builds.control(tmp_path_factory.mktemp("control"))


@pytest.mark.parametrize(
    ("name", "weights", "macs"),
    [
        ("loop", 64 * 64 + 64 * 4, 6 * 3 * 64 * 64 + 64 * 4),
        ("branch", 64 * 64 + 64 * 4, 64 * 64 + 64 * 4),  # the sample takes the other one
        ("front", 5 * 3 + 64 * 4, 5 * 3 * 64 + 64 * 4),
    ],
)
def test_work_inside_loops_and_branches_and_weights_in_front_count(builds, control, name, weights, macs):
    executed = builds.executed(FLOAT, control / f"{name}.tflite")
    found = sizes(executed)
    assert (sum(size for size, _ in found), sum(work for _, work in found)) == (weights, macs)
    shares = coverage.coverage(executed)
    assert (shares.macs, shares.uncounted) == (0.0, [])
    assert coverage.failure(Recipe.parse(STATIC), executed) is not None
