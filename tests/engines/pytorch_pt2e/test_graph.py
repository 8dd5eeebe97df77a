from __future__ import annotations

import re
import shutil
import zipfile
from math import prod

import onnx
import pytest

from bitpick.measures import coverage
from bitpick.models.model import Format
from bitpick.recipe import Recipe
from bitpick.targets.host import this_host
from tests.conftest import skip_or_fail
from tests.engines.conftest import LAYERS, WEIGHTS, sizes, weighted
from tests.engines.graphs.torch_nets import odd

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.skipif(this_host().machine.lower() not in ("x86_64", "amd64"), reason="the quantizer is for x86"),
]

FLOAT = "pytorch_pt2e:float32"
STATIC, REDUCED = "pytorch_pt2e:s8u8-per_channel-histogram", "pytorch_pt2e:s8u8-per_channel-histogram+reduced_range"
QUANTIZED = (STATIC, REDUCED)


@pytest.fixture(scope="module", autouse=True)
def compiler():
    if not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        skip_or_fail("compiler", "none of c++, g++, clang++ is on the PATH")


@pytest.fixture(scope="module")
def code(builds):
    """The generated code in a recipe's package: what calls the kernels, and the kernels that were generated."""

    def read(recipe):
        with zipfile.ZipFile(builds.folder(recipe) / "model.pt2") as package:
            sources = {name: package.read(name).decode() for name in package.namelist() if name.endswith(".cpp")}
        return tuple(
            next(text for name, text in sources.items() if name.endswith(f".{part}.cpp"))
            for part in ("wrapper", "kernel")
        )

    return read


def constants(wrapper):
    """Dtype and number of elements of each constant with two axes or more: of each weight."""
    fields = re.findall(r"constants_info_\[(\d+)\]\.(dtype|shape) = (.*);", wrapper)
    dtypes = {place: text.rpartition("_")[2] for place, field, text in fields if field == "dtype"}
    shapes = {place: [int(n) for n in re.findall(r"\d+", text)] for place, field, text in fields if field == "shape"}
    return [(dtypes[place], prod(shape)) for place, shape in shapes.items() if len(shape) > 1]


def calls(wrapper):
    """The products that the generated code calls, in order."""
    body = wrapper[wrapper.index("::run_impl(") :]
    return re.findall(r"aoti_torch_cpu_\w*?(qconv|qlinear|convolution|linear|addmm|mm)\w*\(", body)


@pytest.mark.parametrize("recipe", [FLOAT, *QUANTIZED])
def test_weights_and_work_are_those_of_the_network(builds, code, recipe):
    assert sizes(builds.executed(recipe)) == list(LAYERS)
    dtype = "float32" if recipe == FLOAT else "int8"
    assert sum(size for kept, size in constants(code(recipe)[0]) if kept == dtype) == WEIGHTS


@pytest.mark.parametrize("recipe", [FLOAT, *QUANTIZED])
def test_a_layer_has_the_name_of_its_module_with_a_bias_or_without(builds, recipe):
    graph = onnx.load(builds.form(Format.ONNX)).graph
    layers = [n.name.replace(".", "_") for n in graph.node if n.op_type in ("Conv", "MatMul", "Gemm")]
    assert [o.name for o in weighted(builds.executed(recipe))] == layers


def test_the_baseline_is_float32_throughout(builds, code):
    wrapper, _ = code(FLOAT)
    assert len(calls(wrapper)) == len(LAYERS)
    assert not [name for name in calls(wrapper) if name.startswith("q")]
    executed = builds.executed(FLOAT)
    assert {o.arithmetic for o in executed.operators} == {"float32"}
    assert coverage.flags(Recipe.parse(FLOAT), executed, "float32") == []


@pytest.mark.parametrize("recipe", QUANTIZED)
def test_a_layer_is_integer_where_an_integer_kernel_is_called(builds, code, recipe):
    assert calls(code(recipe)[0]) == ["qconv", "qconv", "qconv", "qlinear"]
    executed = builds.executed(recipe)
    assert [o.arithmetic for o in weighted(executed)] == ["u8"] * 4
    assert coverage.coverage(executed).macs == 1.0
    assert coverage.flags(Recipe.parse(recipe), executed, "s8") == []


@pytest.mark.parametrize(("recipe", "width"), [(STATIC, 8), (REDUCED, 7)])
def test_the_grids_are_those_of_the_code(builds, code, recipe, width):
    _, kernels = code(recipe)
    ends = set(re.findall(r"static_cast<float>\((127|255)\.0\)", kernels))  # what is rounded is clipped there
    assert ends == {str(2**width - 1)}
    found = coverage.fingerprint(builds.executed(recipe))
    activations, weights = found.activations, found.weights
    assert (activations.dtype, activations.granularity, activations.symmetric) == ("u8", "per_tensor", False)
    assert activations.bits == width
    assert not activations.dynamic
    assert (weights.dtype, weights.granularity, weights.symmetric, weights.bits) == ("s8", "per_channel", True, 8)
    assert coverage.coverage(builds.executed(recipe)).weights == 1.0


def test_loops_that_compute_are_listed_as_float(builds, code):
    wrapper, _ = code(STATIC)
    loops = set(re.findall(r"^ *(cpp_fused_\w+)\(", wrapper, re.MULTILINE))
    computing = {name for name in loops if re.search("mul|pool|softmax", name)}
    listed = {o.name for o in builds.executed(STATIC).operators if o.weight is None}
    assert len(computing) == 3
    assert listed == computing


def test_the_softmax_is_float(builds):
    assert coverage.fingerprint(builds.executed(STATIC)).softmax == "float32"


@pytest.mark.filterwarnings("ignore")  # of the export, which says what it does with an LSTM
def test_operators_of_every_kind_count_their_weights_and_their_work():
    """Of a program whose weights are in front, in an einsum, in a table, and in both directions of an LSTM."""
    torch = pytest.importorskip("torch")
    from bitpick.engines.pytorch_pt2e.graph import eager

    batch = {0: torch.export.Dim("batch", min=1)}
    ids = torch.zeros(2, 7, dtype=torch.long)
    found = eager(torch.export.export(odd(), (ids,), dynamic_shapes=(batch,)))
    lstm = 2 * 4 * 8 * (6 + 8)
    by_kind = {o.kind: (o.weights, o.macs) for o in found.operators if o.weights or o.macs}
    assert by_kind == {
        "aten.embedding": (20 * 6, 0),
        "aten.lstm.input": (lstm, 7 * lstm),
        "aten.matmul": (5 * 7, 5 * 7 * 16),
        "aten.einsum": (0, 7 * 5 * 16),  # the same weights again
        "aten.conv_transpose1d": (16 * 2 * 3, 16 * 2 * 3 * 7),
        "aten.bmm": (0, 7 * 7 * 16),
    }
    assert coverage.failure(Recipe.parse("pytorch_pt2e:s8u8-per_channel-histogram"), found) is not None
