"""Every operator of the importer against ONNX's own reference evaluator, which shares no code with it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from bitpick.conversion import canonical_onnx
from bitpick.errors import OperatorError

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")

from bitpick.conversion import pytorch_from_onnx as module  # noqa: E402
from bitpick.conversion.pytorch_operators.registry import converters, operator  # noqa: E402
from tests.conversion.test_canonical_onnx import converters_graph  # noqa: E402

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
    pytest.mark.filterwarnings("ignore::FutureWarning:torch"),
]

rng = np.random.default_rng(0)


def floats(*shape):
    return (rng.random(shape) * 4 - 2).astype(np.float32)


IMAGE = floats(2, 4, 7, 6)
ROW = floats(2, 5)

# operator, the input that is computed, stored inputs, attributes, opset
CASES = [
    ("Conv", IMAGE, [floats(6, 4, 3, 3), floats(6)], {"pads": [1, 1, 1, 1]}),
    ("Conv", IMAGE, [floats(6, 4, 3, 2)], {"strides": [2, 1], "dilations": [1, 2]}),
    ("Conv", IMAGE, [floats(6, 4, 3, 3)], {"pads": [0, 0, 1, 1], "strides": [2, 2]}),
    ("Conv", IMAGE, [floats(6, 4, 3, 3)], {"pads": [1, 0, 0, 2]}),
    ("Conv", IMAGE, [floats(4, 1, 3, 3), floats(4)], {"group": 4, "pads": [1, 1, 1, 1]}),
    ("Conv", IMAGE, [floats(6, 4, 3, 3)], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("Conv", IMAGE, [floats(6, 4, 4, 4)], {"auto_pad": "SAME_LOWER"}),
    ("Conv", IMAGE, [floats(6, 4, 3, 3)], {"auto_pad": "VALID"}),
    ("Conv", floats(2, 4, 9), [floats(3, 4, 3)], {"pads": [1, 0]}),
    ("Gemm", ROW, [floats(5, 3), floats(3)], {}),
    ("Gemm", ROW, [floats(3, 5), floats(3)], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    ("Gemm", ROW, [floats(5, 3)], {}),
    ("Gemm", ROW, [floats(5, 3), floats(1)], {}),
    ("MatMul", ROW, [floats(5, 3)], {}),
    ("MatMul", floats(2, 3, 5), [floats(5, 3)], {}),
    ("MatMul", floats(2, 3, 5), [floats(2, 5, 4)], {}),
    *[(op, IMAGE, [], {}) for op in ("Relu", "Sigmoid", "Tanh", "HardSwish", "Softplus", "Mish", "Abs", "Neg", "Exp")],
    *[(op, np.abs(IMAGE) + 1, [], {}) for op in ("Log", "Sqrt", "Reciprocal")],
    *[(op, IMAGE, [], {}) for op in ("Erf", "Floor", "Ceil", "Identity", "Dropout")],
    ("LeakyRelu", IMAGE, [], {"alpha": 0.3}),
    ("Elu", IMAGE, [], {"alpha": 0.7}),
    ("HardSigmoid", IMAGE * 3, [], {"alpha": 1 / 6, "beta": 0.5}),
    ("PRelu", IMAGE, [floats(4, 1, 1)], {}),
    ("PRelu", IMAGE, [floats(1, 1, 1)], {}),
    ("Clip", IMAGE * 5, [np.float32(0), np.float32(6)], {}),
    ("Clip", IMAGE, [np.float32(-1), np.float32(0.5)], {}),
    ("Clip", IMAGE, [np.float32(0)], {}),
    ("Softmax", IMAGE, [], {"axis": 1}),
    ("Softmax", ROW, [], {}),
    ("LogSoftmax", ROW, [], {}),
    *[(op, IMAGE, [floats(4, 1, 1)], {}) for op in ("Add", "Sub", "Mul", "Div")],
    ("Pow", np.abs(IMAGE), [np.float32(2)], {}),
    ("MaxPool", IMAGE, [], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ("MaxPool", IMAGE, [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2], "ceil_mode": 1}),
    ("MaxPool", IMAGE, [], {"kernel_shape": [3, 3], "pads": [0, 0, 1, 1], "strides": [2, 2]}),
    ("AveragePool", IMAGE, [], {"kernel_shape": [2, 3], "strides": [2, 2]}),
    ("AveragePool", IMAGE, [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ("AveragePool", IMAGE, [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    ("AveragePool", IMAGE, [], {"kernel_shape": [3, 3], "pads": [0, 0, 1, 1], "count_include_pad": 1}),
    ("GlobalAveragePool", IMAGE, [], {}),
    ("GlobalMaxPool", IMAGE, [], {}),
    ("ReduceMean", IMAGE, [], {"axes": [2, 3], "keepdims": 0}),
    ("ReduceMean", IMAGE, [np.array([1, 2])], {}, 18),
    ("Reshape", IMAGE, [np.array([-1, 168])], {}),
    ("Reshape", IMAGE, [np.array([0, -1])], {}),
    ("Reshape", IMAGE, [np.array([0, 2, 2, 42])], {}),
    ("Reshape", IMAGE, [np.array([-1, 4, 42])], {}),
    ("Reshape", IMAGE, [np.array([0, 0, -1])], {}),
    ("Flatten", IMAGE, [], {}),
    ("Transpose", IMAGE, [], {"perm": [0, 2, 3, 1]}),
    ("Squeeze", floats(2, 4, 1, 1), [np.array([2, 3])], {}),
    ("Unsqueeze", ROW, [np.array([1])], {}),
    ("Concat", IMAGE, [floats(2, 3, 7, 6)], {"axis": 1}),
    ("Pad", IMAGE, [np.array([0, 0, 1, 2, 0, 0, 0, 1])], {}),
    ("Pad", IMAGE, [np.array([0, 0, 1, 2, 0, 0, 0, 1]), np.float32(3)], {}),
    ("Pad", IMAGE, [np.array([0, 0, 1, 2, 0, 0, 0, 1])], {"mode": "reflect"}),
    ("Pad", IMAGE, [np.array([0, 0, 1, 2, 0, 0, 0, 1])], {"mode": "edge"}),
    ("Pad", IMAGE, [np.array([0, 0, 0, 2, 0, 0, 0, 0])], {"mode": "reflect"}),
    ("Clip", IMAGE, [], {}),
    ("PRelu", IMAGE, [floats(1, 4, 1, 1)], {}),
    (
        "BatchNormalization",
        IMAGE,
        [np.abs(floats(4)), floats(4), floats(4), np.abs(floats(4)) + 0.1],
        {"epsilon": 0.01},
    ),
]


def one_node(op, x, stored, attributes, opset=17):
    """A graph of one node whose first input is computed from the graph's, so that nothing is folded away."""
    names = [f"c{i}" for i in range(len(stored))]
    if op == "Clip" and len(stored) == 1:
        names.append("")
    graph = helper.make_graph(
        [helper.make_node(op, ["x", *names], ["y"], "the.node", **attributes)],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *x.shape[1:]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(s), n) for s, n in zip(stored, names, strict=False)],
    )
    opset = 18 if op == "Mish" else opset
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{'-'.join(f'{k}={v}' for k, v in c[3].items())}")
def test_an_operator_computes_what_onnx_says(case):
    op, x, stored, attributes, *opset = case
    model = one_node(op, x, stored, attributes, *opset)
    expected = ReferenceEvaluator(model).run(None, {"x": x})[0]
    imported = module.import_graph(model)
    with torch.inference_mode():
        found = imported(torch.from_numpy(x)).numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    if not any(len(s.shape) > 1 and op in ("Concat", "MatMul") and len(s) == len(x) for s in stored):
        with torch.inference_mode():  # the batch is free
            np.testing.assert_allclose(imported(torch.from_numpy(x[:1])).numpy(), expected[:1], rtol=1e-5, atol=1e-5)


def test_every_converter_has_a_case():
    assert {case[0] for case in CASES} == set(converters())


def test_a_second_converter_for_an_operator_is_refused():
    converters()
    with pytest.raises(ValueError, match="Conv has a converter already: convolution"):
        operator("Conv")(lambda context: None)


def test_an_unknown_operator_is_named_with_node_opset_and_what_is_known():
    with pytest.raises(OperatorError) as error:
        module.import_graph(one_node("Sinh", ROW, [], {}))
    text = str(error.value)
    assert "the node the.node is a Sinh (opset 17)" in text
    assert "Conv, " in text


@pytest.mark.parametrize(
    ("case", "says"),
    [
        (("HardSigmoid", IMAGE, [], {}), "a slope of 0.2"),
        (("Gemm", floats(2, 2), [floats(2, 3)], {"transA": 1}), "a transposed first input"),
        (("Flatten", IMAGE, [], {"axis": 2}), "axis 2"),
        (("Pad", IMAGE, [np.array([0] * 8)], {"mode": "wrap"}), "the mode wrap"),
        (("AveragePool", IMAGE, [], {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1]}), "uneven padding"),
        (("PRelu", floats(2, 3, 6, 3), [floats(3)], {}), "slopes of shape (3,)"),
        (("PRelu", floats(2, 3, 6, 3), [floats(1, 1, 3)], {}), "slopes of shape (1, 1, 3)"),
        (("Gemm", floats(2, 5), [floats(5, 2), floats(2, 1)], {}), "a bias of shape (2, 1)"),
        (
            ("MaxPool", IMAGE, [], {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1], "ceil_mode": 1}),
            "ceil_mode with uneven padding",
        ),
        (("Pad", IMAGE, [np.array([0, 1, 0, 0, 0, 0, 0, 0])], {"mode": "reflect"}), "other than spatial axes"),
        (("Reshape", IMAGE, [np.array([2, 2, 84])], {}), "the fixed batch 2"),
    ],
)
def test_an_unknown_form_of_an_operator_is_named(case, says):
    with pytest.raises(OperatorError) as error:
        module.import_graph(one_node(*case))
    assert "the node the.node" in str(error.value)
    assert says in str(error.value)


def test_names_that_would_collide_do_not():
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w1"], ["a"], "a.b"),
            helper.make_node("Gemm", ["a", "w2"], ["b"], "a_b"),
            helper.make_node("Relu", ["b"], ["c"], "forward"),
            helper.make_node("Relu", ["c"], ["d"], "class"),
            helper.make_node("Relu", ["d"], ["y"], "0"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [onnx.numpy_helper.from_array(floats(3, 3), name) for name in ("w1", "w2")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = floats(2, 3)
    with torch.inference_mode():
        found = module.import_graph(model)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, ReferenceEvaluator(model).run(None, {"x": x})[0], rtol=1e-5, atol=1e-5)


@pytest.fixture
def imported(tmp_path):
    canonical_onnx.convert(str(converters_graph(tmp_path / "raw.onnx")), str(tmp_path / "clean.onnx"))
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


def test_it_survives_tracing_and_export(imported):
    _, graph_module = imported
    x = torch.from_numpy(np.random.default_rng(1).random((3, 3, 6, 6), dtype=np.float32))
    with torch.inference_mode():
        expected = graph_module(x)
        assert torch.equal(torch.fx.symbolic_trace(graph_module)(x), expected)
        batch = torch.export.Dim("batch")
        program = torch.export.export(graph_module, (x,), dynamic_shapes=({0: batch},))
        torch.testing.assert_close(program.module()(x[:2]), expected[:2])


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
    source, target = module.trace_source(*arguments), module.trace_target(*arguments)
    assert set(source) == set(target) == {"conv", "act", "pool", "flat", "dense", "dense_softmax"}
    for name, value in source.items():
        np.testing.assert_allclose(target[name], value, atol=1e-5)
