from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import onnx
import pytest

from bitpick.engines.executorch.engine import ExecuTorchEngine, _with_four_bits, _without_absent_patterns
from bitpick.errors import Unsupported
from bitpick.models.model import Format
from bitpick.passes.weight_grid import WeightGrid
from bitpick.recipe import Recipe
from tests.engines.conftest import save

ENGINE = ExecuTorchEngine()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("s8u8-per_channel-histogram", "dtypes s8u8: it has s8s8, s8dynamic, s4dynamic, float32"),
        ("s8s8-per_channel-minmax", "calibration minmax with s8s8: it has histogram"),
        ("s8dynamic-per_channel-histogram", "granularity per_channel with s8dynamic: it has none"),
    ],
)
def test_what_it_has_not_is_refused_with_what_it_has(text, told):
    assert ENGINE.refusal(Recipe.parse(f"executorch:{text}")) == f"executorch does not have {told}"


def test_the_users_own_program_is_taken_before_one_that_was_made_of_onnx():
    assert ENGINE.form(Recipe.parse("executorch:float32")) == (Format.EXPORTED, Format.PYTORCH)


def test_no_layer_can_be_left_out():
    fields = {"exclude": ("dense",), "name": "scoped"}
    recipe = Recipe.parse("executorch:s8dynamic").model_copy(update=fields)
    assert ENGINE.refusal(recipe) == "executorch cannot leave single layers in float (exclude)"


@pytest.mark.parametrize(
    ("operators", "kept"),
    [
        (("aten.relu.default", "aten.upsample_bilinear2d.vec"), {"bilinear_2d"}),
        (("aten.softmax.int",), {"sdpa"}),
        (("aten.scaled_dot_product_attention.default", "aten.index.Tensor"), {"bilinear_2d", "sdpa"}),
        (("aten.relu.default",), set()),
    ],
)
def test_xnnpack_looks_for_no_pattern_that_the_program_cannot_contain(monkeypatch, operators, kept):
    package = "executorch.backends.xnnpack.partition.graphs"
    functions = {"bilinear_2d": "get_graphs_dict", "sdpa": "get_graphs"}
    modules = {name: ModuleType(f"{package}.{name}") for name in functions}
    for name, module in modules.items():
        setattr(module, functions[name], lambda: ["a pattern"])
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for depth in range(package.count(".") + 1):
        name = ".".join(package.split(".")[: depth + 1])
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules[package.rpartition(".")[0]], "graphs", sys.modules[package], raising=False)
    nodes = [SimpleNamespace(target=operator) for operator in operators]
    inner = SimpleNamespace(graph=SimpleNamespace(nodes=nodes))  # such as the branch of a condition
    outer = SimpleNamespace(graph=SimpleNamespace(nodes=[]))
    program = SimpleNamespace(graph_module=SimpleNamespace(modules=lambda: [outer, SimpleNamespace(), inner]))

    def patterns():
        return {name for name, module in modules.items() if list(getattr(module, functions[name])())}

    with _without_absent_patterns(program):
        assert patterns() == kept
    assert patterns() == set(functions)


def test_four_bits_are_for_matrix_products_and_convolutions_keep_eight():
    grid = ENGINE.weight_grid(Recipe.parse("executorch:s4dynamic"))
    assert grid == WeightGrid(7, per_channel=True, clipped=True, convolutions=127)
    assert ENGINE.weight_grid(Recipe.parse("executorch:s8dynamic")) == WeightGrid(127, per_channel=True)


@pytest.mark.frameworks
def test_four_bit_weights_on_a_grid_get_the_same_grid_again():
    torch = pytest.importorskip("torch")
    module = pytest.importorskip("executorch.backends.xnnpack.quantizer.xnnpack_quantizer")
    scales = np.array([[1e-6], [0.01], [30.0], [0.02]], np.float32)
    steps = np.random.default_rng(0).integers(-6, 7, (4, 20))
    steps[:, 0] = 7, -7, 7, 0
    steps[3] = 0  # a channel of zeros
    configuration = module.get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True)
    weight = _with_four_bits(configuration).weight
    fields = {name: getattr(weight, name) for name in ("dtype", "qscheme", "ch_axis", "quant_min", "quant_max")}
    observer = weight.observer_or_fake_quant_ctr(**fields)
    observer(torch.from_numpy(steps * scales))
    found, zeros = (each.numpy() for each in observer.calculate_qparams())
    np.testing.assert_allclose(found[:3], scales[:3, 0], rtol=1e-6)
    assert np.isfinite(found).all()
    assert not zeros.any()
    assert configuration.weight.quant_max == 127  # of the shared configuration


@pytest.mark.frameworks
def test_what_the_runtime_has_no_kernel_for_is_refused_for_that(builds, tmp_path):
    nodes = [
        onnx.helper.make_node("LRN", ["image"], ["x"], "norm", size=3),
        onnx.helper.make_node("Flatten", ["x"], ["y"], "flat"),
        onnx.helper.make_node("MatMul", ["y", "w"], ["scores"], "dense"),
    ]
    path = save(tmp_path / "norm.onnx", nodes, {"w": np.ones((192, 12), np.float32)})
    source = builds.convert(path, Format.ONNX, Format.PYTORCH)
    with pytest.raises(Unsupported, match=r"no kernel for aten::avg_pool3d\.out"):
        builds.folder("executorch:float32", source)
