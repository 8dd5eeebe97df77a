from __future__ import annotations

import sys

import numpy as np
import pytest

from bitpick.engines.openvino.graph import executed, stored_values
from bitpick.engines.openvino.weights import compress

pytestmark = pytest.mark.frameworks

RNG = np.random.default_rng(0)
SHAPES = {"conv": (4, 3, 3, 3), "depthwise": (4, 1, 1, 3, 3), "up": (4, 5, 2, 2), "dense": (7, 5), "turned": (3, 7)}
CHANNEL = {"conv": 0, "depthwise": 0, "up": 1, "dense": 1, "turned": 0}
FLOAT = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}


@pytest.fixture
def openvino(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino_telemetry", None)  # as in a worker
    pytest.importorskip("nncf", reason="NNCF is not installed: pip install 'bitpick[openvino]'")
    return pytest.importorskip("openvino")


def random_weights():
    weights = {name: RNG.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    weights["conv"][1] *= 100
    weights["conv"][2] = 0
    weights["dense"] = weights["dense"].T.copy()  # inputs first
    return weights


def network(weights):
    """A layer of every kind, each under the name of its weights."""
    import openvino
    from openvino import opset13 as ops

    flat = {"strides": [1, 1], "pads_begin": [0, 0], "pads_end": [0, 0], "dilations": [1, 1]}
    constants = {name: ops.constant(values) for name, values in weights.items()}
    x = ops.parameter([-1, 3, 6, 6], np.float32, name="x")
    y = ops.relu(ops.convolution(x, constants["conv"], **flat, name="conv"))
    y = ops.group_convolution(y, constants["depthwise"], **flat, name="depthwise")
    y = ops.reduce_mean(
        ops.convolution_backprop_data(y, constants["up"], strides=[2, 2], name="up"), ops.constant([2, 3])
    )
    y = ops.relu(ops.matmul(y, constants["dense"], False, False, name="dense"))
    return openvino.Model([ops.matmul(y, constants["turned"], False, True, name="turned")], [x], "g")


def stored(model):
    """The integers and the scales of each layer of `network`; the floats alone where it has those."""
    found = {}
    for op in model.get_ordered_ops():
        if op.get_friendly_name() not in SHAPES:
            continue
        node = op.input_value(1).get_node()
        while node.get_type_name() == "Convert":
            node = node.input_value(0).get_node()
        parts = [node] if node.get_type_name() == "Constant" else [port.get_node() for port in node.input_values()]
        parts = [part.input_value(0).get_node() if part.get_type_name() == "Convert" else part for part in parts]
        found[op.get_friendly_name()] = [
            (part.get_element_type().get_type_name(), stored_values(part)) for part in parts
        ]
    return found


@pytest.mark.parametrize("bits", [8, 4])
def test_each_output_channel_has_its_own_twos_complement_and_the_runtime_computes_with_it(openvino, bits, tmp_path):
    weights = random_weights()
    openvino.save_model(compress(network(weights), bits), tmp_path / "m.xml", compress_to_fp16=False)
    model = openvino.Core().read_model(tmp_path / "m.xml")
    dequantized = {}
    for name, ((dtype, integers), (_, scales)) in stored(model).items():
        assert dtype == f"i{bits}"
        channels = weights[name].shape[CHANNEL[name]]
        assert scales.size == channels
        largest = np.moveaxis(integers, CHANNEL[name], 0).reshape(channels, -1).astype(int)
        zero = np.moveaxis(weights[name] == 0, CHANNEL[name], 0).reshape(channels, -1).all(axis=1)
        assert (largest.min(axis=1) == np.where(zero, 0, -(2 ** (bits - 1)))).all()
        assert largest.max() <= 2 ** (bits - 1) - 1
        dequantized[name] = integers * scales.astype(np.float32)
        error = np.abs(dequantized[name] - weights[name]) / np.abs(scales.astype(np.float32))
        assert error.max() <= 1.07  # half a step, or one where two opposite weights are as large
        assert np.median(error) < 0.4
    assert list(dequantized) == list(SHAPES)
    batch = RNG.normal(size=(5, 3, 6, 6)).astype(np.float32)
    outputs = [openvino.Core().compile_model(m, "CPU", FLOAT)(batch)[0] for m in (network(dequantized), model)]
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bits", [8, 4])
def test_excluded_layers_keep_their_weights(openvino, bits):
    weights = random_weights()
    found = stored(compress(network(weights), bits, exclude=["conv", "dense"]))
    assert [name for name, parts in found.items() if len(parts) == 1] == ["conv", "dense"]
    np.testing.assert_array_equal(found["conv"][0][1], weights["conv"])


@pytest.mark.parametrize("bits", [8, 4])
def test_single_layers_have_other_weights(openvino, bits):
    found = stored(compress(network(random_weights()), bits, exclude=["up"], others=["conv", "dense"]))
    dtypes = {name: parts[0][0] for name, parts in found.items()}
    assert dtypes == {
        "conv": f"i{12 - bits}", "depthwise": f"i{bits}", "up": "f32", "dense": f"i{12 - bits}", "turned": f"i{bits}",
    }  # fmt: skip


@pytest.mark.parametrize("bits", [8, 4])
def test_a_lookup_table_keeps_eight_bits(openvino, bits):
    from openvino import opset13 as ops

    words = ops.parameter([-1, 5], np.int64, name="words")
    table, weight = (ops.constant(RNG.normal(size=(9, 8)).astype(np.float32)) for _ in range(2))
    rows = ops.gather(table, words, ops.constant(0), name="table")
    model = compress(openvino.Model([ops.matmul(rows, weight, False, True, name="last")], [words], "g"), bits)
    compiled = openvino.Core().compile_model(model, "CPU", FLOAT)
    found = {o.name: o for o in executed(compiled, model, [np.zeros((1, 5), np.int64)]).operators if o.weight}
    assert {name: o.weight.dtype for name, o in found.items()} == {"table": "s8", "last": f"s{bits}"}
    assert [found[name].weights for name in ("table", "last")] == [72, 72]


@pytest.mark.parametrize(("group", "arithmetic"), [(0, "float32"), (32, "s8")])
def test_a_product_is_told_to_be_float_only_if_the_runtime_rounds_no_activations(openvino, group, arithmetic):
    model = compress(network(random_weights()), 8)
    compiled = openvino.Core().compile_model(model, "CPU", FLOAT | {"DYNAMIC_QUANTIZATION_GROUP_SIZE": group})
    found = executed(compiled, model, [np.zeros((1, 3, 6, 6), np.float32)])
    assert [o.arithmetic for o in found.operators if o.kind == "FullyConnected"] == [arithmetic] * 2


def test_nncf_is_as_it_was(openvino):
    from nncf.quantization.algorithms.weight_compression.algorithm import WeightCompression

    method = WeightCompression._get_ratio_defining_params
    compress(network(random_weights()), 4)
    assert WeightCompression._get_ratio_defining_params is method
