from __future__ import annotations

import numpy as np
import pytest

from bitpick.engines.openvino.runner import Build

pytestmark = pytest.mark.frameworks


@pytest.fixture
def build(tmp_path):
    """Two inputs, whose product and sum come out; the batch is free, or so many samples."""
    openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'bitpick[openvino]'")
    from openvino import opset13 as ops

    def make(size):
        a, b = (ops.parameter([size, 3], np.float32, name=name) for name in "ab")
        model = openvino.Model([ops.multiply(a, b), ops.add(a, b)], [a, b], "two")
        openvino.save_model(model, tmp_path / "model.xml", compress_to_fp16=False)
        return Build(tmp_path, ["model.xml", "model.bin"], {"INFERENCE_PRECISION_HINT": "f32"}, 1)

    return make


@pytest.mark.parametrize(("size", "batch"), [(-1, 1), (4, 4)])
def test_outputs_come_in_the_models_order_for_inputs_in_its_order(build, size, batch):
    opened = build(size)
    assert opened.batch == batch
    a, b = np.full((batch, 3), 2, np.float32), np.full((batch, 3), 5, np.float32)
    product, total = opened.outputs(opened.run(opened.prepare([a, b])))
    assert (product == 10).all()
    assert (total == 7).all()
    assert product.shape == (batch, 3)


def test_the_next_run_does_not_change_what_one_before_it_gave(build):
    opened = build(-1)
    one, two = (np.full((1, 3), value, np.float32) for value in (1, 2))
    first = opened.outputs(opened.run(opened.prepare([one, two])))
    opened.outputs(opened.run(opened.prepare([two, two])))
    assert [each.tolist() for each in first] == [[[2] * 3], [[3] * 3]]
