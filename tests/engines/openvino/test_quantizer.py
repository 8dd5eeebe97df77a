from __future__ import annotations

import sys

import numpy as np
import pytest

from bitpick.engines.openvino.quantizer import fixed_batch, quantize
from bitpick.recipe import Recipe
from tests.passes import layer_models

pytestmark = pytest.mark.frameworks

RNG = np.random.default_rng(0)
RECIPE = Recipe.parse("openvino:s8u8-per_channel-minmax")


@pytest.fixture
def openvino(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino_telemetry", None)  # as in a worker
    pytest.importorskip("nncf", reason="NNCF is not installed: pip install 'bitpick[openvino]'")
    return pytest.importorskip("openvino")


def network(batch):
    """Two products with a ReLU between them."""
    import openvino
    from openvino import opset13 as ops

    x = ops.parameter([batch, 8], np.float32, name="x")
    first, second = (ops.constant(RNG.normal(size=(8, 8)).astype(np.float32)) for _ in range(2))
    hidden = ops.relu(ops.matmul(x, first, False, True, name="first"))
    return openvino.Model([ops.matmul(hidden, second, False, True, name="second")], [x], "g")


def quantized(model):
    """The products that read quantized numbers."""
    products = [op for op in model.get_ordered_ops() if op.get_type_name() == "MatMul"]
    kinds = {op.get_friendly_name(): {port.get_node().get_type_name() for port in op.input_values()} for op in products}
    return [name for name, found in kinds.items() if "FakeQuantize" in found]


@pytest.mark.parametrize("batch", [-1, 4])
@pytest.mark.parametrize(
    ("in_float", "found"), [([], ["first", "second"]), (["first"], ["second"]), (["first", "second"], [])]
)
def test_what_is_named_stays_in_float_whatever_the_batch(openvino, tmp_path, batch, in_float, found):
    samples = layer_models.samples(tmp_path, RNG.normal(size=(10, 8)).astype(np.float32))
    assert quantized(quantize(network(batch), RECIPE, samples, in_float, False)) == found


def test_a_batch_is_fixed_or_free(openvino):
    assert fixed_batch(network(-1)) is None
    assert fixed_batch(network(4)) == 4
