"""Operators that runtimes write in forms of their own give the same in every engine that starts from PyTorch."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

import bitpick
from tests.kept import use_executor

RNG = np.random.default_rng(0)
FLOAT = ["executorch:float32", "litert:float32", "pytorch_fx:float32", "pytorch_pt2e:float32"]
QUANTIZED = ["litert:s8s8-per_channel-minmax"]


def weights(*shape):
    return (RNG.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)


def network(path):
    """Global max pooling, an LSTM, a transposed convolution, parts: for sequences of any length."""
    make = helper.make_node
    nodes = [
        make("Conv", ["x", "w", "b"], ["c"], "conv", pads=[1, 1]),
        make("Relu", ["c"], ["r"], "relu"),
        make("GlobalMaxPool", ["r"], ["p"], "pool"),
        make("Flatten", ["p"], ["pooled"], "flat"),
        make("Transpose", ["r"], ["t"], "steps", perm=[2, 0, 1]),
        make("LSTM", ["t", "lw", "lr", "lb"], ["", "h"], "lstm", hidden_size=6, direction="bidirectional"),
        make("Split", ["h", "halves"], ["h1", "h2"], "split", axis=0),
        make("Concat", ["h1", "h2"], ["hs"], "join", axis=2),
        make("Squeeze", ["hs", "zero"], ["hidden"], "squeeze"),
        make("ConvTranspose", ["r", "u"], ["d"], "wide", strides=[2], pads=[1, 1], output_padding=[1]),
        make("ReduceMean", ["d"], ["mean"], "mean", axes=[2], keepdims=0),
        make("Concat", ["pooled", "hidden", "mean"], ["all"], "concat", axis=1),
        make("MatMul", ["all", "v"], ["y"], "dense"),
    ]
    stored = {
        "w": weights(8, 4, 3), "b": weights(8),
        "lw": weights(2, 24, 8), "lr": weights(2, 24, 6), "lb": weights(2, 48),
        "halves": np.array([1, 1]), "zero": np.array([0]), "u": weights(8, 3, 3), "v": weights(23, 5),
    }  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, "length"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])],
        [onnx.numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.frameworks
def test_every_engine_computes_what_onnx_says(tmp_path, workers):
    path, out = network(tmp_path / "m.onnx"), tmp_path / "run"
    data = {name: RNG.normal(size=(40, 4, 12)).astype(np.float32) for name in ("calibration", "evaluation")}
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": data["evaluation"]})
    with use_executor(workers, tmp_path / "cache"):
        comparison = bitpick.compare(
            path, data, recipes=[*FLOAT, *QUANTIZED], task="deviation", bench_seconds=0, targets=["host"], out=out
        )
    rows = {row.id: row for row in comparison.rows}
    assert {name: row.reason for name, row in rows.items() if row.status != "ok"} == {}
    for row in rows.values():
        with np.load(out / "builds" / row.id.replace(":", "__") / "predictions.npz") as arrays:
            outputs = arrays["output0"]
        limit = (1e-5 if row.kind == "baseline" else 0.2) * np.abs(expected).max()
        np.testing.assert_allclose(outputs, expected, rtol=0, atol=limit)
