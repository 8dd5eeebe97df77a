from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from bitpick.passes import equalize

CHANNELS = 8
OUTLIERS = np.array([1, 1, 40, 1, 1, 0.2, 1, 1], np.float32)


def network(path, nodes=(), scale=OUTLIERS, outputs=("a", "b")):
    """A norm with channels of unlike sizes, which two products read, and whatever else is asked for."""
    rng = np.random.default_rng(0)
    make = helper.make_node
    nodes = [
        make("LayerNormalization", ["x", "scale", "bias"], ["n"], "norm"),
        make("MatMul", ["n", "w"], ["a"], "first"),
        make("Gemm", ["n", "v", "c"], ["b"], "second", transB=1),
        *nodes,
    ]
    stored = {
        "scale": scale,
        "bias": rng.normal(size=CHANNELS) * OUTLIERS,
        "w": rng.normal(size=(CHANNELS, 5)) / OUTLIERS[:, None],
        "v": rng.normal(size=(3, CHANNELS)) / OUTLIERS,
        "c": rng.normal(size=3),
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", CHANNELS])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [onnx.numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in stored.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return str(path)


def run(path, names):
    x = np.random.default_rng(1).normal(size=(50, CHANNELS)).astype(np.float32)
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(names, {"x": x})


def largest(path):
    """The largest value of each channel that the norm writes."""
    model = onnx.load(path)
    model.graph.output.append(helper.make_tensor_value_info("n", TensorProto.FLOAT, None))
    onnx.save(model, path + ".shown.onnx")
    return np.abs(run(path + ".shown.onnx", ["n"])[0]).max(axis=0)


def test_the_channels_of_a_norm_come_together_and_the_function_stays(tmp_path):
    source, out = network(tmp_path / "in.onnx"), str(tmp_path / "out.onnx")
    assert equalize.apply(source, out).changed == ["norm"]
    for before, after in zip(run(source, ["a", "b"]), run(out, ["a", "b"]), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)
    before, after = largest(source), largest(out)
    assert before.max() / before.min() > 100
    assert after.max() / after.min() < 8


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([helper.make_node("Add", ["n", "x"], ["y"], "residual")], ("a", "b", "y")),
        ([helper.make_node("MatMul", ["x", "w"], ["y"], "sharing")], ("a", "b", "y")),
        ([], ("a", "b", "n")),
    ],
)
def test_a_norm_that_something_else_reads_stays(tmp_path, nodes, outputs):
    source = network(tmp_path / "in.onnx", nodes, outputs=outputs)
    applied = equalize.apply(source, str(tmp_path / "out.onnx"))
    assert applied.changed == []
    assert "no norm writes channels of unlike sizes" in applied.why_not


def test_a_channel_that_is_always_zero_stays(tmp_path):
    scale = OUTLIERS.copy()
    scale[3] = 0
    source, out = network(tmp_path / "in.onnx", scale=scale), str(tmp_path / "out.onnx")
    assert equalize.apply(source, out).changed == ["norm"]
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(out).graph.initializer}
    assert stored["scale"][3] == 0
    assert all(np.isfinite(each).all() for each in stored.values())
