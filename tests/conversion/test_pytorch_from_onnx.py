"""The importer as a whole; each operator is tested in pytorch_operators/, and whole nets there too."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from bitpick.conversion import canonical_onnx
from bitpick.errors import OperatorError

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")

from bitpick.conversion import pytorch_from_onnx as module  # noqa: E402
from tests.conversion.converter_graph import converter_graph  # noqa: E402
from tests.conversion.pytorch_operators.nodes import Node, check_graph, graph_of, model  # noqa: E402

pytestmark = pytest.mark.frameworks

TRACES = (module.trace_source, module.trace_target)
rng = np.random.default_rng(0)


def floats(*shape):
    return (rng.random(shape) * 4 - 2).astype(np.float32)


def test_free_sizes_are_those_of_the_samples(tmp_path):
    graph = graph_of(
        [
            ("Shape", ["x"], ["s"], {"start": 2}),
            ("ReduceProd", ["s"], ["p"], {"keepdims": 1}),
            ("Concat", ["head", "p"], ["t"], {"axis": 0}),
            ("Reshape", ["x", "t"], ["y"], {}),
        ],
        [("x", ["n", 3, "h", "w"])], ["y"], {"head": np.array([-1, 3])},
    )  # fmt: skip
    onnx.save(graph, tmp_path / "m.onnx")
    module.convert(str(tmp_path / "m.onnx"), str(tmp_path / "m.pt"), [(3, 4, 5)])
    found = module.load(tmp_path / "m.pt")
    assert module.signature(found) == [((3, 4, 5), "float32")]
    assert found(torch.zeros(7, 3, 4, 5)).shape == (7, 3, 20)


def test_an_unknown_operator_is_named_with_its_node_and_opset():
    with pytest.raises(OperatorError) as error:
        module.import_graph(model(Node("NonZero", [floats(2, 3)])))
    text = str(error.value)
    assert "the node the.node is a NonZero (opset 17)" in text
    assert "operators that docs/reference/importer.md lists" in text


def test_what_pytorch_itself_refuses_is_said_of_the_node():
    with pytest.raises(OperatorError, match=r"the node the\.node \(Add, opset 17\) has a form that PyTorch refuses"):
        module.import_graph(model(Node("Add", [floats(2, 3), floats(2, 4)])))


def test_names_that_would_collide_do_not():
    names = ["a.b", "a_b", "forward", "class", "0", "x", "graph", "meta", "onnx_inputs"]
    kinds = ["Gemm", "Gemm", *["Relu"] * 7]
    graph = graph_of(
        [(kind, [f"t{i}", *(["w"] if kind == "Gemm" else [])], [f"t{i + 1}"], {}) for i, kind in enumerate(kinds)],
        [("t0", ["n", 3])], ["t9"], {"w": floats(3, 3)},
    )  # fmt: skip
    for node, name in zip(graph.graph.node, names, strict=True):
        node.name = name
    graph.graph.input[0].name = graph.graph.node[0].input[0] = "x"
    check_graph(graph, [[floats(2, 3)]])
    assert len(module.layers(module.import_graph(graph))) == 9


def test_a_bias_that_is_added_behind_a_product_is_in_the_module():
    stored = {"w": floats(5, 4), "b": floats(4), "c": floats(3, 1)}
    graph = graph_of(
        [("MatMul", ["x", "w"], ["p"], {}), ("Add", ["b", "p"], ["y"], {}), ("Add", ["y", "c"], ["z"], {})],
        [("x", ["n", 3, 5])], ["z"], stored,
    )  # fmt: skip
    check_graph(graph, [[floats(2, 3, 5)]])
    (linear,) = module.import_graph(graph).children()
    np.testing.assert_array_equal(linear.bias.numpy(), stored["b"])


@pytest.mark.parametrize(
    ("bias", "outputs"),
    [(floats(4), ["y", "p"]), (floats(1), ["y"]), (floats(3, 4), ["y"]), (floats(1, 1, 1, 4), ["y"])],
)
def test_what_is_no_bias_stays_an_addition(bias, outputs):
    graph = graph_of(
        [("MatMul", ["x", "w"], ["p"], {}), ("Add", ["p", "b"], ["y"], {})],
        [("x", ["n", 3, 5])], outputs, {"w": floats(5, 4), "b": bias},
    )  # fmt: skip
    check_graph(graph, [[floats(2, 3, 5)]])
    (linear,) = module.import_graph(graph).children()
    assert linear.bias is None


def test_several_inputs_and_outputs_go_by_position(tmp_path):
    graph = graph_of(
        [("Gather", ["table", "ids"], ["rows"], {}), ("ReduceMean", ["rows"], ["mean"], {"axes": [1], "keepdims": 0}),
         ("Concat", ["mean", "state"], ["both"], {"axis": 1}), ("Relu", ["both"], ["positive"], {})],
        [("state", ["n", 2]), ("ids", ["n", 6], TensorProto.INT64)],
        ["positive", "both"], {"table": floats(9, 3)},
    )  # fmt: skip
    check_graph(graph, [[floats(n, 2), rng.integers(0, 9, (n, 6))] for n in (1, 4)])
    imported = module.import_graph(graph)
    assert module.signature(imported) == [((2,), "float32"), ((6,), "int64")]
    assert module.fixed_batch(imported) is None
    assert isinstance(imported.get_submodule("Gather_0"), torch.nn.Embedding)
    onnx.save(graph, tmp_path / "m.onnx")
    np.savez(tmp_path / "x.npz", floats(3, 2), rng.integers(0, 9, (3, 6)))
    source, target = (trace(*[str(tmp_path / "m.onnx")] * 2, str(tmp_path / "x.npz")) for trace in TRACES)
    assert list(source) == list(target) == ["rows", "mean", "both", "positive"]
    for name, value in source.items():
        np.testing.assert_allclose(target[name], value, atol=1e-5)


def test_what_is_stored_is_computed_at_import():
    graph = graph_of(
        [("Constant", [], ["one"], {"value_floats": [1.0, 2.0]}), ("Sum", ["one", "w"], ["sum"], {}),
         ("NonZero", ["sum"], ["known"], {}), ("Mul", ["x", "sum"], ["y"], {})],
        [("x", ["n", 2])], ["y", "known"], {"w": floats(2)},
    )  # fmt: skip
    check_graph(graph, [[floats(3, 2)]])
    assert module.layers(module.import_graph(graph)) == []


def test_a_batch_size_that_is_given_out_is_refused():
    graph = graph_of([("Shape", ["x"], ["y"], {})], [("x", ["n", 2])], ["y"])
    with pytest.raises(OperatorError, match="the output y is computed from the batch size"):
        module.import_graph(graph)


def test_operators_of_others_are_unknown_even_where_all_their_inputs_are_stored():
    graph = graph_of([("Relu", ["w"], ["y"], {})], [("x", ["n", 2])], ["y"], {"w": floats(2)})
    graph.graph.node[0].domain = "my.ops"
    with pytest.raises(OperatorError, match=r"is a my\.ops\.Relu"):
        module.import_graph(graph)


def test_a_fixed_batch_is_said(tmp_path):
    graph = graph_of([("Relu", ["x"], ["y"], {})], [("x", [4, 3, 2])], ["y"])
    onnx.save(graph, tmp_path / "m.onnx")
    module.convert(str(tmp_path / "m.onnx"), str(tmp_path / "m.pt"))
    loaded = module.load(tmp_path / "m.pt")  # it is in the file too
    assert module.fixed_batch(loaded) == 4
    assert module.signature(loaded) == [((3, 2), "float32")]
    assert [(tensor.shape, tensor.dtype) for tensor in module.example(loaded, 4)] == [((4, 3, 2), torch.float32)]


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        ([["n", 3, "length"]], "x0 has a free dimension beside the batch"),
        ([["n", 3, 2], [1, 3, 2]], "x1 has no batch axis"),
        ([[]], "x0 has no batch axis"),
    ],
)
def test_an_input_without_a_fixed_sample_shape_is_named(shapes, says):
    inputs = [(f"x{i}", shape) for i, shape in enumerate(shapes)]
    graph = graph_of([("Sum", [name for name, _ in inputs], ["y"], {})], inputs, ["y"])
    with pytest.raises(OperatorError, match=says):
        module.signature(module.import_graph(graph))


def test_a_free_dimension_beside_the_batch_stays_free():
    graph = graph_of(
        [("Conv", ["x", "w"], ["y"], {"strides": [2]})], [("x", ["n", 2, "l"])], ["y"], {"w": floats(3, 2, 3)}
    )
    check_graph(graph, [[floats(2, 2, 9)], [floats(1, 2, 30)]])


@pytest.fixture
def imported(tmp_path):
    canonical_onnx.convert(str(converter_graph(tmp_path / "raw.onnx")), str(tmp_path / "clean.onnx"))
    module.convert(str(tmp_path / "clean.onnx"), str(tmp_path / "m.pt"))
    return tmp_path, module.load(tmp_path / "m.pt")


def test_plain_modules(imported):
    _, graph_module = imported
    assert isinstance(graph_module, torch.fx.GraphModule)
    kinds = [type(m) for m in graph_module.children()]
    assert kinds == [
        torch.nn.Conv2d, torch.nn.ReLU, torch.nn.AdaptiveAvgPool2d, torch.nn.Linear, torch.nn.Softmax,
    ]  # fmt: skip
    assert not graph_module.training


def test_the_file_opens_without_bitpick(imported):
    folder, _ = imported
    code = (
        "import sys; sys.modules['bitpick'] = None\n"
        f"import torch; m = torch.load({str(folder / 'm.pt')!r}, weights_only=False)\n"
        "print(m(torch.zeros(1, 3, 6, 6)).shape)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert told.stdout.strip() == "torch.Size([1, 4])", told.stderr


def test_traces_of_both_sides_share_names_and_values(imported):
    folder, _ = imported
    np.savez(folder / "x.npz", np.random.default_rng(1).random((2, 3, 6, 6), dtype=np.float32))
    arguments = [str(folder / name) for name in ("clean.onnx", "m.pt", "x.npz")]
    source, target = (trace(*arguments) for trace in TRACES)
    assert set(source) == {"conv", "act", "pool", "flat", "dense", "scores"}
    assert set(target) == set(source)
    for name, value in source.items():
        np.testing.assert_allclose(target[name], value, atol=1e-5)
