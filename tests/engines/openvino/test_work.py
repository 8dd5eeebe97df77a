"""What OpenVINO executes of small graphs, counted by hand."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from bitpick.measures import coverage
from bitpick.recipe import Recipe

pytestmark = pytest.mark.frameworks

STATIC = Recipe.parse("openvino:s8u8-per_channel-minmax")


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


# A graph, the shape of its input, what it stores, and its weights and its work.
GRAPHS = {
    "front": ("y = MatMul(W, x)", (1, 3, 7), {"W": random(5, 3)}, 15, 105),
    "convolution": ("y = Conv<group = 2>(x, W)", (1, 4, 6, 6), {"W": random(8, 2, 3, 3)}, 144, 144 * 16),
    "transposed": ("y = ConvTranspose(x, W)", (1, 3, 4, 4), {"W": random(3, 5, 2, 2)}, 60, 60 * 16),
    "einsum": ('y = Einsum<equation = "hi,nij->nhj">(W, x)', (1, 3, 7), {"W": random(5, 3)}, 15, 105),
    "activations": ("t = Transpose<perm = [0, 2, 1]>(x) y = MatMul(x, t)", (1, 3, 7), {}, 0, 63),
    "table": (
        "i = Cast<to = 7>(x) e = Gather(E, i) y = MatMul(e, W)",
        (1, 4),
        {"E": random(20, 6), "W": random(6, 5)},
        120 + 30,
        4 * 30,
    ),
    "recurrent": (
        't = Transpose<perm = [1, 0, 2]>(x) y = LSTM<hidden_size = 8, direction = "bidirectional">(t, W, R)',
        (1, 7, 5),
        {"W": random(2, 32, 5), "R": random(2, 32, 8)},
        2 * 32 * 13,
        7 * 2 * 32 * 13,
    ),
    "branch": (
        """s = ReduceSum <keepdims = 0> (x) c = Greater(s, zero) y = If (c) <
            then_branch = a () => (float[N, 3] t) { t = MatMul(x, W) },
            else_branch = b () => (float[N, 3] e) { e = Relu(x) }
        >""",
        (1, 3),
        {"W": random(3, 3), "zero": np.float32(0)},
        9,
        9,
    ),
    "loop": (
        """y = Loop (trips, , x) <
            body = b (int64 i, bool c, float[N, 3] s) => (bool d, float[N, 3] t) {
                d = Identity(c) m = MatMul(s, W) t = Relu(m)
            }
        >""",
        (1, 3),
        {"W": random(3, 3), "trips": np.array(7)},
        9,
        63,
    ),
    "loop that hands its weights on": (
        """y, same = Loop (trips, , x, W) <
            body = b (int64 i, bool c, float[N, 3] s, float[3, 3] w) => (bool d, float[N, 3] t, float[3, 3] v) {
                d = Identity(c) m = MatMul(s, w) t = Relu(m) v = Identity(w)
            }
        >""",
        (1, 3),
        {"W": random(3, 3), "trips": np.array(7)},
        9,
        63,
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_an_operator_counts_its_weights_and_its_work(tmp_path, name):
    openvino = pytest.importorskip("openvino")
    from bitpick.engines.openvino.graph import executed

    text, shape, stored, weights, macs = GRAPHS[name]
    axes = ", ".join(map(str, ("N", *shape[1:])))
    head = '<ir_version: 8, opset_import: ["" : 17]> g'
    model = onnx.parser.parse_model(f"{head} (float[{axes}] x) => (float y) {{ {text} }}")
    model.graph.output[0].type.tensor_type.ClearField("shape")
    model.graph.initializer.extend(onnx.numpy_helper.from_array(each, key) for key, each in stored.items())
    onnx.save(model, tmp_path / "m.onnx")
    source = openvino.Core().read_model(tmp_path / "m.onnx")
    compiled = openvino.Core().compile_model(source, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = executed(compiled, source, (np.ones(shape, np.float32),))
    assert (sum(o.weights for o in found.operators), sum(o.macs for o in found.operators)) == (weights, macs)
    shares = coverage.coverage(found)
    assert (shares.macs, shares.weights, shares.uncounted) == (0.0, 0.0, [])
    assert coverage.failure(STATIC, found) is not None
