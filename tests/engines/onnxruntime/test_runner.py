from __future__ import annotations

import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bitpick.engines.onnxruntime.runner import Build


@pytest.fixture
def build(tmp_path):
    """Two inputs, whose product and sum come out; the batch is free, or so many samples."""

    def make(size, settings=None):
        nodes = [helper.make_node("Mul", ["a", "b"], ["product"]), helper.make_node("Add", ["a", "b"], ["sum"])]
        ends = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [size, 3]) for name in ("a", "b")}
        outs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [size, 3]) for name in ("product", "sum")]
        graph = helper.make_graph(nodes, "g", list(ends.values()), outs)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, tmp_path / "model.onnx")
        return Build(tmp_path, ["model.onnx"], settings or {}, 1)

    return make


@pytest.mark.parametrize(("size", "batch"), [("n", 1), (4, 4)])
def test_outputs_come_in_the_models_order_for_inputs_in_its_order(build, size, batch):
    opened = build(size)
    assert opened.batch == batch
    a, b = np.full((batch, 3), 2, np.float32), np.full((batch, 3), 5, np.float32)
    product, total = opened.outputs(opened.run(opened.prepare([a, b])))
    assert (product == 10).all()
    assert (total == 7).all()
    assert product.shape == (batch, 3)


def test_a_build_takes_as_many_inputs_as_its_model(build):
    with pytest.raises(ValueError, match="shorter"):
        build("n").prepare([np.zeros((1, 3), np.float32)])


def test_the_runtime_is_told_the_settings_that_a_build_ships_with_and_reports_to_nobody(build, monkeypatch):
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    opened = build("n", {"session.x64quantprecision": "1"})
    assert opened.session.get_session_options().get_session_config_entry("session.x64quantprecision") == "1"
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
