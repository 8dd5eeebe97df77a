from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from bitpick.measures import coverage
from bitpick.models.model import Format
from bitpick.recipe import Recipe
from tests.engines.conftest import LAYERS, MACS, WEIGHTS, codes, save, sizes, volume, weighted
from tests.engines.graphs.torch_nets import odd

pytestmark = pytest.mark.frameworks

FLOAT, DYNAMIC, FOUR_BITS = "executorch:float32", "executorch:s8dynamic", "executorch:s4dynamic"
PER_CHANNEL, PER_TENSOR = "executorch:s8s8-per_channel-histogram", "executorch:s8s8-per_tensor-histogram"
STATIC = (PER_CHANNEL, PER_TENSOR)
EVERY = (FLOAT, *STATIC, DYNAMIC, FOUR_BITS)
PRODUCTS = ("Convolution", "Fully Connected")


@pytest.fixture(scope="module")
def kernels(builds, tmp_path_factory):
    """The kernels that XNNPACK ran for a recipe's build, such as `Convolution (NHWC, QC8) IGEMM #1`."""
    folder = tmp_path_factory.mktemp("profiles")
    kept = {}

    def read(recipe):
        if recipe not in kept:
            kept[recipe] = builds.ran(recipe, "executorch_kernels", out=str(folder / f"{len(kept)}.etdp"))
        return kept[recipe]

    return read


def formats(kernel):
    """The number formats in a kernel's name: QS8 and QC8 are integers with one scale and with one for each channel."""
    return set(re.findall(r"F32|Q\w+", kernel))


@pytest.mark.parametrize("recipe", EVERY)
def test_a_product_is_integer_where_its_kernel_is(builds, kernels, recipe):
    ran = [formats(kernel) for kernel in kernels(recipe) if kernel.startswith(PRODUCTS)]
    in_graph = weighted(builds.executed(recipe))
    assert [operator.integer for operator in in_graph] == [found != {"F32"} for found in ran]
    for operator, found in zip(in_graph, ran, strict=True):
        assert operator.activation.dynamic == any(word.startswith("QD") for word in found)
        if operator.integer:
            per_channel = bool(found & {"QC8", "QC8W", "QC4W"})
            assert operator.weight.dtype == ("s4" if "QC4W" in found else "s8")
            assert operator.weight.granularity == ("per_channel" if per_channel else "per_tensor")


@pytest.mark.parametrize("recipe", EVERY)
def test_every_kernel_that_computes_is_listed(builds, kernels, recipe):
    words = {"Multiply": "XNNMultiply", "Add": "XNNAdd", "Average Pooling": "XNNAvgPooling2d", "Softmax": "XNNSoftmax"}
    ran = [words[kernel.partition(" (")[0]] for kernel in kernels(recipe) if kernel.startswith(tuple(words))]
    assert [o.kind for o in builds.executed(recipe).operators if o.weight is None] == ran


@pytest.mark.parametrize("recipe", EVERY)
def test_weights_and_work_are_those_of_the_network(builds, recipe):
    assert sizes(builds.executed(recipe)) == list(LAYERS)


def test_the_baseline_is_float32_throughout(builds, kernels):
    executed = builds.executed(FLOAT)
    assert {o.arithmetic for o in executed.operators} == {"float32"}
    assert {o.weight.dtype for o in weighted(executed)} == {"float32"}
    assert not [kernel for kernel in kernels(FLOAT) if formats(kernel) - {"F32"}]
    assert coverage.flags(Recipe.parse(FLOAT), executed, "float32") == []


@pytest.mark.parametrize("recipe", STATIC)
def test_the_integers_in_the_program_are_the_models_weights_on_the_grid_that_is_told(builds, recipe):
    """Symmetric, of 8 bits: the largest weight, of a channel or of all, is 127."""
    graph = onnx.load(builds.form(Format.ONNX)).graph
    program = (builds.folder(recipe) / "model.pte").read_bytes()
    found = [numpy_helper.to_array(i) for i in graph.initializer]
    for weight in [w if w.ndim == 4 else w.T for w in found if w.ndim in (2, 4) and w.size > 3]:
        axes = None if recipe == PER_TENSOR else tuple(range(1, weight.ndim))
        scale = np.abs(weight).max(axis=axes, keepdims=True) / np.float32(127)
        integers = np.round(weight / scale).astype(np.int8)
        # XNNPACK has channels last: of the output, of the input, and of a depthwise weight.
        order = (1, 2, 3, 0) if weight.shape[1:2] == (1,) else (0, 2, 3, 1)[: weight.ndim]
        assert (integers.transpose(order) if weight.ndim == 4 else integers).tobytes() in program
    executed = builds.executed(recipe)
    for operator in weighted(executed):
        grid = operator.weight
        assert (grid.dtype, grid.symmetric, grid.bits) == ("s8", True, 8)
    assert coverage.flags(Recipe.parse(recipe), executed, "s8") == []


@pytest.mark.parametrize("recipe", STATIC)
def test_a_static_build_computes_its_products_on_integers(builds, recipe):
    found = coverage.coverage(builds.executed(recipe))
    assert (found.macs, found.weights) == (1.0, 1.0)
    assert [name.partition(" ")[0] for name in found.float_operators] == ["XNNAvgPooling2d", "XNNSoftmax"]
    told = coverage.fingerprint(builds.executed(recipe))
    # Activations that start at zero have it at the lower end of a signed grid.
    assert (told.activations.dtype, told.activations.symmetric, told.activations.dynamic) == ("s8", False, False)
    assert (told.input, told.output, told.softmax) == ("float32", "float32", "float32")


def test_a_dynamic_build_leaves_its_convolutions_in_float(builds, kernels):
    ran = [formats(kernel) for kernel in kernels(DYNAMIC) if kernel.startswith("Convolution")]
    assert ran == [{"F32"}] * 3
    executed = builds.executed(DYNAMIC)
    found = coverage.coverage(executed)
    size, macs = LAYERS[3]
    assert (found.macs, found.weights) == (macs / MACS, size / WEIGHTS)
    told = coverage.fingerprint(executed)
    assert told.activations.dynamic
    assert (told.weights.dtype, told.weights.granularity, told.weights.bits) == ("s8", "per_channel", 8)
    assert codes(coverage.flags(Recipe.parse(DYNAMIC), executed, "s8")) == ["partly_float"]


def test_four_bits_are_in_the_file_for_matrix_products_and_convolutions_keep_eight_or_floats(builds):
    executed = builds.executed(FOUR_BITS)
    found, told = coverage.coverage(executed), coverage.fingerprint(executed)
    size, macs = LAYERS[3]
    assert (found.macs, found.weights) == (macs / MACS, size / WEIGHTS)
    assert told.activations.dynamic
    assert (told.weights.dtype, told.weights.granularity, told.weights.bits) == ("s4", "per_channel", 4)
    assert codes(coverage.flags(Recipe.parse(FOUR_BITS), executed, "s4")) == ["partly_float"]
    graph = onnx.load(builds.form(Format.ONNX)).graph
    weight = next(w for w in map(numpy_helper.to_array, graph.initializer) if w.ndim == 2 and w.size > 3).T
    integers = np.round(weight / (np.abs(weight).max(axis=1, keepdims=True) / np.float32(7))).astype(int) + 8
    packed = (integers[:, ::2] | integers[:, 1::2] << 4).astype(np.uint8)
    assert packed.tobytes() in (builds.folder(FOUR_BITS) / "model.pte").read_bytes()


def test_a_convolution_whose_activations_are_rounded_as_it_runs_has_eight_bits_in_a_four_bit_build(builds, tmp_path):
    nodes = [
        onnx.helper.make_node("Transpose", ["image"], ["x"], "first", perm=[0, 3, 1, 2]),
        onnx.helper.make_node("Conv", ["x", "c"], ["y"], "conv"),
        onnx.helper.make_node("Flatten", ["y"], ["z"], "flat"),
        onnx.helper.make_node("MatMul", ["z", "w"], ["scores"], "dense"),
    ]
    rng = np.random.default_rng(0)
    weights = {"c": rng.normal(size=(5, 3, 2, 2)), "w": rng.normal(size=(245, 12))}  # an odd number of inputs
    path = save(tmp_path / "both.onnx", nodes, {name: each.astype(np.float32) for name, each in weights.items()})
    executed = builds.executed(FOUR_BITS, builds.convert(path, Format.ONNX, Format.PYTORCH))
    assert [(o.weight.dtype, o.weight.bits, o.arithmetic) for o in weighted(executed)] == [
        ("s8", 8, "s8"),
        ("s4", 4, "s8"),
    ]
    assert sizes(executed) == [(60, 60 * 49), (245 * 12, 245 * 12)]


def test_a_product_outside_the_delegate_has_its_weights(builds, tmp_path):
    source = builds.convert(volume(tmp_path / "volume.onnx"), Format.ONNX, Format.PYTORCH)
    assert sizes(builds.executed(FLOAT, source)) == [(12 * 3**3, 12 * 3**3 * 6 * 6)]


@pytest.mark.filterwarnings("ignore")  # of the export, which says what it does with an LSTM
def test_operators_of_every_kind_count_their_weights_and_their_work():
    """Of a program whose weights are in front, in a table, and in both directions of an LSTM, taken apart in steps."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("executorch")
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    from bitpick.engines.executorch.graph import executed

    program = torch.export.export(odd(einsum=False), (torch.zeros(1, 7, dtype=torch.long),))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    found = executed(lowered.to_executorch().buffer)
    lstm = 2 * 4 * 8 * (6 + 8)
    assert sum(o.weights for o in found.operators) == 20 * 6 + lstm + 5 * 7 + 16 * 2 * 3
    assert sum(o.macs for o in found.operators) == 7 * lstm + 5 * 7 * 16 + 16 * 2 * 3 * 5 + 5 * 5 * 16
