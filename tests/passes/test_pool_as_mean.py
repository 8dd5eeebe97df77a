from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from bitpick.passes import pool_as_mean


def network(path, pool, opset=17, shape=("n", 4, 6, 5)):
    graph = helper.make_graph(
        [pool, helper.make_node("Flatten", ["p"], ["y"], "flat")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape[0], None])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def average(**said):
    return helper.make_node("AveragePool", ["x"], ["p"], "pool", **said)


def given(path, x):
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


@pytest.mark.parametrize("opset", [13, 17, 18])
@pytest.mark.parametrize(
    "pool",
    [
        helper.make_node("GlobalAveragePool", ["x"], ["p"], "pool"),
        average(kernel_shape=[6, 5]),
        average(kernel_shape=[6, 5], strides=[6, 5], pads=[0, 0, 0, 0]),
        average(kernel_shape=[6, 5], auto_pad="VALID"),
    ],
    ids=["global", "whole", "strides", "valid"],
)
def test_a_pool_over_the_whole_map_is_a_mean(tmp_path, pool, opset):
    before = network(tmp_path / "a.onnx", pool, opset)
    assert pool_as_mean.apply(str(before), str(tmp_path / "b.onnx")).changed == ["pool"]
    kinds = [node.op_type for node in onnx.load(tmp_path / "b.onnx").graph.node]
    assert kinds == ["ReduceMean", "Flatten"]
    x = np.random.default_rng(0).normal(size=(3, 4, 6, 5)).astype(np.float32)
    np.testing.assert_allclose(given(tmp_path / "b.onnx", x), given(before, x), atol=1e-6)


@pytest.mark.parametrize(
    ("pool", "shape"),
    [
        (average(kernel_shape=[3, 5]), ("n", 4, 6, 5)),
        (average(kernel_shape=[6, 5], pads=[0, 0, 1, 0]), ("n", 4, 6, 5)),
        (average(kernel_shape=[6, 5]), ("n", 4, "h", 5)),
        (helper.make_node("GlobalMaxPool", ["x"], ["p"], "pool"), ("n", 4, 6, 5)),
    ],
    ids=["part", "padded", "any size", "maximum"],
)
def test_another_pool_stays(tmp_path, pool, shape):
    before = network(tmp_path / "a.onnx", pool, shape=shape)
    applied = pool_as_mean.apply(str(before), str(tmp_path / "b.onnx"))
    assert applied.changed == []
    assert applied.why_not == "it has no average pool over a whole map"


def test_maps_of_one_axis_and_of_three(tmp_path):
    pool = helper.make_node("GlobalAveragePool", ["x"], ["p"], "pool")
    for shape in (("n", 4, 7), ("n", 4, 3, 5, 2)):
        before = network(tmp_path / "a.onnx", pool, shape=shape)
        pool_as_mean.apply(str(before), str(tmp_path / "b.onnx"))
        x = np.random.default_rng(0).normal(size=(2, *shape[1:])).astype(np.float32)
        np.testing.assert_allclose(given(tmp_path / "b.onnx", x), given(before, x), atol=1e-6)
