from __future__ import annotations

from collections import Counter

import onnx
import pytest

from bitpick.measures import coverage
from bitpick.models.model import Format
from bitpick.recipe import Recipe
from bitpick.targets.host import this_host
from tests.engines.conftest import LAYERS, bits, positions, sizes, volume, weighted
from tests.engines.graphs.torch_nets import odd

pytestmark = pytest.mark.frameworks

FLOAT, STATIC = "pytorch_fx:float32", "pytorch_fx:s8u8-per_channel-histogram"
BACKENDS = ("fbgemm", "onednn") if this_host().machine.lower() in ("x86_64", "amd64") else ("qnnpack",)
QUANTIZED = (STATIC, *(f"{STATIC}+{name}" for name in BACKENDS))


@pytest.fixture(scope="module")
def kernels(builds):
    """The operators that PyTorch's profiler sees in one run of a recipe's build."""
    return lambda recipe: Counter(builds.ran(recipe, "torch_kernels"))


@pytest.mark.parametrize("recipe", QUANTIZED)
def test_every_quantized_operator_that_ran_is_listed_as_integer(builds, kernels, recipe):
    ran = Counter({name: count for name, count in kernels(recipe).items() if name.startswith("quantized::")})
    executed = builds.executed(recipe)
    assert ran
    assert Counter(o.kind for o in executed.operators if o.kind.startswith("quantized::")) == ran
    assert {o.arithmetic for o in executed.operators if o.kind.startswith("quantized::")} == {"u8"}
    assert not [name for name in kernels(recipe) if name in ("aten::_convolution", "aten::linear")]


def test_the_baseline_is_float32_throughout(builds, kernels):
    executed, ran = builds.executed(FLOAT), kernels(FLOAT)
    assert {o.arithmetic for o in executed.operators} == {"float32"}
    assert not [name for name in ran if "quantize" in name]
    for kind, count in Counter(o.kind for o in executed.operators).items():
        assert ran[kind] == count, kind
    assert coverage.flags(Recipe.parse(FLOAT), executed, "float32") == []


@pytest.mark.parametrize("recipe", [FLOAT, *QUANTIZED])
def test_weights_and_work_are_those_of_the_network(builds, recipe):
    assert sizes(builds.executed(recipe)) == list(LAYERS)


@pytest.mark.parametrize("recipe", QUANTIZED)
def test_the_grids_are_those_of_the_packed_weights(builds, recipe):
    packed = builds.read(recipe, "torch_weights")
    executed = builds.executed(recipe)
    assert [o.name for o in weighted(executed)] == list(packed)
    for operator in weighted(executed):
        stored, grid = packed[operator.name], operator.weight
        assert stored["scheme"] == "torch.per_channel_affine"
        assert set(stored["zero_points"]) == {0}
        assert len(stored["integers"]) == operator.weights
        assert bits(stored["integers"]) == 8
        assert (grid.dtype, grid.granularity, grid.symmetric, grid.bits) == ("s8", "per_channel", True, 8)


@pytest.mark.parametrize("recipe", QUANTIZED)
def test_a_quantized_build_computes_on_integers(builds, recipe):
    executed = builds.executed(recipe)
    found, told = coverage.coverage(executed), coverage.fingerprint(executed)
    assert (found.macs, found.weights, found.float_operators) == (1.0, 1.0, [])
    # The range that an observer was given is not in the file; an activation after a ReLU has its zero at the end.
    assert (told.activations.dtype, told.activations.bits, told.activations.symmetric) == ("u8", None, False)
    assert (told.input, told.output, told.softmax) == ("float32", "float32", "u8")
    assert coverage.flags(Recipe.parse(recipe), executed, "s8") == []


def scoped(builds, strides):
    """A recipe that leaves the convolution with these strides in float."""
    graph = onnx.load(builds.form(Format.ONNX)).graph
    named = {tuple(a.ints): n.name for n in graph.node if n.op_type == "Conv" for a in n.attribute}
    exclude = [named[strides].replace(".", "_")]
    return Recipe.model_validate(Recipe.parse(STATIC).model_dump() | {"exclude": exclude, "name": "scoped"})


def test_a_layer_that_the_recipe_leaves_in_float_is_float(builds, kernels):
    recipe = scoped(builds, (2, 2))
    ran, executed = kernels(recipe), builds.executed(recipe)
    assert (ran["aten::_convolution"], ran["quantized::conv2d"] + ran["quantized::conv2d_relu"]) == (1, 2)
    assert [o.integer for o in weighted(executed)] == [True, True, False, True]
    work = [macs for _, macs in LAYERS]
    assert coverage.coverage(executed).macs == (sum(work) - work[2]) / sum(work)


def test_a_layer_that_the_recipe_leaves_in_float_gets_no_flag(builds):
    recipe = scoped(builds, (2, 2))
    assert coverage.flags(recipe, builds.executed(recipe), "s8") == []


@pytest.mark.parametrize("axes", [3, 2])
def test_a_product_with_a_vector_at_each_position_works_at_every_position(builds, tmp_path, axes):
    source = builds.convert(positions(tmp_path / "vectors.onnx", axes), Format.ONNX, Format.PYTORCH)
    assert sizes(builds.executed(FLOAT, source)) == [(3 * 12, 3 * 12 * 64)]


def test_a_convolution_of_three_axes_is_read_too(builds, tmp_path):
    source = builds.convert(volume(tmp_path / "volume.onnx"), Format.ONNX, Format.PYTORCH)
    assert sizes(builds.executed(STATIC, source)) == [(12 * 3**3, 12 * 3**3 * 6 * 6)]


@pytest.mark.filterwarnings("ignore")
def test_nodes_with_several_outputs_with_lists_and_on_shapes_are_read_too():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")
    from bitpick.engines.pytorch_fx import graph

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.dense = torch.nn.LSTM(4, 6), torch.nn.Linear(6, 5)

        def forward(self, x):
            steps, (last, _) = self.lstm(x.permute(1, 0, 2))
            both = torch.einsum("tnc,dnc->ntd", steps, last)
            first, second = torch.split(self.dense(steps), [2, 3], 2)
            values, places = torch.topk(first, 1)
            zeros = torch.zeros(x.size(0))
            return both, second, values, places, zeros

    sample = torch.ones(1, 3, 4)
    executed = graph.executed(torch.jit.trace(Net(), sample), (sample,))
    kinds = [operator.kind for operator in executed.operators]
    assert kinds == ["aten::lstm", "aten::einsum", "aten::linear", "aten::topk"]
    assert {operator.arithmetic for operator in executed.operators} == {"float32"}


@pytest.mark.filterwarnings("ignore")  # of tracing, which is deprecated
def test_operators_of_every_kind_count_their_weights_and_their_work():
    """Of a module whose weights are in front, in an einsum, in a table, and in both directions of an LSTM."""
    torch = pytest.importorskip("torch")
    from bitpick.engines.pytorch_fx.graph import executed

    ids = torch.zeros(1, 7, dtype=torch.long)
    found = executed(torch.jit.trace(odd(), (ids,)), (ids,))
    lstm = 2 * 4 * 8 * (6 + 8)
    by_kind = {o.kind.removeprefix("aten::"): (o.weights, o.macs) for o in found.operators if o.weights or o.macs}
    assert by_kind == {
        "embedding": (20 * 6, 0),
        "lstm": (lstm, 7 * lstm),
        "matmul": (5 * 7, 5 * 7 * 16),
        "einsum": (0, 7 * 5 * 16),  # the same weights again
        "_convolution": (16 * 2 * 3, 16 * 2 * 3 * 7),
        "bmm": (0, 7 * 7 * 16),
    }
    assert coverage.failure(Recipe.parse("pytorch_fx:s8u8-per_channel-histogram"), found) is not None
