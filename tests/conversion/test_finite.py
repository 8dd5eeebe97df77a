from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bitpick.conversion import finite, onnx_file
from bitpick.errors import ModelError


def graph(nodes: str, stored: dict[str, np.ndarray]) -> onnx.ModelProto:
    """A model of `x` (n, 4) → `y` with these stored tensors."""
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[N, 4] x, bool c) => (float[N, 4] y) {{ {nodes} }}
    """)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in stored.items())
    return model


def square(*values: float, dtype=np.float32) -> np.ndarray:
    """A matrix of ones, but for these values."""
    array = np.ones((4, 4), dtype)
    array.reshape(-1)[: len(values)] = values
    return array


NAN, INF = float("nan"), float("inf")
ZEROS = np.zeros(4, np.float32)
REFUSED = {
    "matmul": ("y = MatMul(x, w)", {"w": square(NAN, INF)}, ("w", 2, 16)),
    "infinite": ("y = MatMul(x, w)", {"w": square(-INF)}, ("w", 1, 16)),
    "half": ("h = Cast<to = 1>(w) y = MatMul(x, h)", {"w": square(NAN, dtype=np.float16)}, ("w", 1, 16)),
    "transposed": ("t = Transpose(w) i = Identity(t) y = MatMul(x, i)", {"w": square(INF)}, ("w", 1, 16)),
    "bias": ("y = Gemm(x, w, b)", {"w": square(), "b": ZEROS + np.float32(NAN)}, ("b", 4, 4)),
    "added": ("y = Add(x, b)", {"b": ZEROS * np.float32(NAN)}, ("b", 4, 4)),
    "branch": (
        """y = If (c) < then_branch = a () => (float[N, 4] t) { t = MatMul(x, w) },
                        else_branch = b () => (float[N, 4] e) { e = Identity(x) } >""",
        {"w": square(INF)},
        ("w", 1, 16),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_weights_that_are_not_finite_are_named_and_counted(name):
    nodes, stored, expected = REFUSED[name]
    assert list(finite.of_onnx(graph(nodes, stored))) == [expected]


MEANT = {
    "finite": ("y = MatMul(x, w)", {"w": square()}),
    "mask": ("y = Add(x, m)", {"m": ZEROS - np.float32(INF)}),
    "chosen": ("y = Where(c, x, m)", {"m": ZEROS + np.float32(NAN)}),
    "bounds": ("y = Clip(x, low, high)", {"low": np.float32(-INF), "high": np.float32(INF)}),
    "integers": ("s = Cast<to = 1>(i) y = MatMul(x, s)", {"i": np.ones((4, 4), np.int64)}),
    "unused": ("y = Identity(x)", {"w": square(NAN)}),
}


@pytest.mark.parametrize("name", MEANT)
def test_what_is_meant_to_be_infinite_is_not_refused(name):
    assert list(finite.of_onnx(graph(*MEANT[name]))) == []


def test_a_constant_node_is_a_weight_too():
    tensor = onnx.numpy_helper.from_array(square(NAN))
    nodes = [
        helper.make_node("Constant", [], ["w"], value=tensor),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    model = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:]))
    assert list(finite.of_onnx(model)) == [("w", 1, 16)]


def test_the_message_says_which_and_how_many():
    with pytest.raises(ModelError) as refused:
        finite.refuse("m.onnx", [(name, 1, 1000) for name in "abcde"])
    first = "a (1 of 1,000 values), b (1 of 1,000 values), c (1 of 1,000 values)"
    assert str(refused.value).splitlines() == [
        f"weights of the model m.onnx are NaN or infinite: {first} and 2 more",
        "expected: a trained model, whose weights are all finite",
        "to fix it: take a checkpoint from before its training diverged, or one whose file is undamaged",
    ]
    finite.refuse("m.onnx", [])


def test_a_file_is_refused_while_it_is_read(tmp_path):
    onnx.save(graph("y = MatMul(x, w)", {"w": square(NAN)}), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"weights of the model m\.onnx are NaN or infinite: w \(1 of 16 values\)"):
        onnx_file.describe(str(tmp_path / "m.onnx"))
