"""Each operator of ONNX and of ONNX Runtime, run alone: its weights and its work are counted by hand beside it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from bitpick.engines.onnxruntime import work
from bitpick.measures import coverage
from bitpick.recipe import Recipe
from tests.engines.onnxruntime.graphs import MICROSOFT, ML, node, random, read, totals

STATIC = Recipe.parse("onnxruntime:s8u8-per_channel-minmax")


X4, X3 = random(1, 4, 6, 6), random(5, 1, 3)
# Each with what goes in, what is stored, and its weights and multiply-accumulates.
OPERATORS = {
    "Conv": (node("Conv", kernel_shape=[3, 3]), X4, {"W": random(8, 4, 3, 3)}, 288, 288 * 16),
    "grouped Conv": (node("Conv", group=2, pads=[1] * 4), X4, {"W": random(8, 2, 3, 3)}, 144, 144 * 36),
    "depthwise Conv": (node("Conv", group=4), X4, {"W": random(4, 1, 3, 3)}, 36, 36 * 16),
    "one channel Conv": (node("Conv"), X4, {"W": random(1, 4, 1, 1)}, 4, 4 * 36),
    "ConvTranspose": (node("ConvTranspose", strides=[2, 2]), X4, {"W": random(4, 8, 2, 2)}, 128, 128 * 36),
    "grouped ConvTranspose": (node("ConvTranspose", group=2), X4, {"W": random(4, 4, 3, 3)}, 144, 144 * 36),
    "MatMul": (node("MatMul"), random(1, 7, 3), {"W": random(3, 5)}, 15, 15 * 7),
    "MatMul, stored first": (node("MatMul", "W x"), random(1, 3, 7), {"W": random(5, 3)}, 15, 15 * 7),
    "MatMul in batches": (node("MatMul"), random(2, 7, 3), {"W": random(2, 3, 5)}, 30, 30 * 7),
    "MatMul of a vector": (node("MatMul"), random(1, 7, 3), {"W": random(3)}, 3, 3 * 7),
    "MatMul of itself": (node("MatMul", "x x"), random(1, 6, 6), {}, 0, 6 * 6 * 6),
    "Gemm": (node("Gemm", "x W b", transB=1), random(1, 3), {"W": random(5, 3), "b": random(5)}, 15, 15),
    "Gemm, stored first": (node("Gemm", "W x", transB=1), random(1, 3), {"W": random(5, 3)}, 15, 15),
    "Einsum": (node("Einsum", "W x", equation="hi,nij->nhj"), random(1, 3, 7), {"W": random(5, 3)}, 15, 15 * 7),
    "LSTM": (
        node("LSTM", "x W R b", hidden_size=2, direction="bidirectional"),
        X3,
        {"W": random(2, 8, 3), "R": random(2, 8, 2), "b": random(2, 16)},
        2 * 8 * (3 + 2),
        5 * 2 * 8 * (3 + 2),
    ),
    "GRU": (node("GRU", "x W R", hidden_size=2), X3, {"W": random(1, 6, 3), "R": random(1, 6, 2)}, 30, 5 * 30),
    "RNN": (node("RNN", "x W R", hidden_size=2), X3, {"W": random(1, 2, 3), "R": random(1, 2, 2)}, 10, 5 * 10),
    "Attention inside": (
        node("Attention", "x W b", num_heads=2, domain=MICROSOFT),
        random(1, 5, 4),
        {"W": random(4, 12), "b": random(12)},
        48,
        48 * 5 + 2 * 5 * 5 * 4,
    ),
    "FusedConv": (node("FusedConv", activation="Relu", domain=MICROSOFT), X4, {"W": random(8, 4, 1, 1)}, 32, 32 * 36),
    "FusedGemm": (node("FusedGemm", activation="Relu", domain=MICROSOFT), random(1, 3), {"W": random(3, 5)}, 15, 15),
    "FusedMatMul": (node("FusedMatMul", transA=1, domain=MICROSOFT), random(1, 3, 7), {"W": random(3, 5)}, 15, 15 * 7),
    "LinearRegressor": (
        node("LinearRegressor", "x", coefficients=[1.0] * 6, targets=2, domain=ML),
        random(1, 3),
        {},
        6,
        6,
    ),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_counts_its_weights_and_its_work(tmp_path, name):
    made, x, weights, size, macs = OPERATORS[name]
    found = read(tmp_path, [made], {"x": x}, weights)
    assert totals(found) == (size, macs)
    shares = coverage.coverage(found)
    assert (shares.macs, shares.weights, shares.uncounted) == (0.0, 0.0, [])
    assert coverage.failure(STATIC, found) is not None


def test_attention_of_the_standard_counts_queries_keys_and_values(tmp_path):
    made = node("Attention", "q k v", "y")
    sample = {"q": random(1, 2, 5, 4), "k": random(1, 2, 7, 4), "v": random(1, 2, 7, 3)}
    assert totals(read(tmp_path, [made], sample, {}, opset=23)) == (0, 2 * 5 * 7 * (4 + 3))


def test_a_table_has_weights_and_no_work(tmp_path):
    found = read(tmp_path, [node("Gather", "W x")], {"x": np.array([[1, 2]])}, {"W": random(50, 3)})
    assert totals(found) == (150, 0)
    assert "partly_float" not in [flag.code for flag in coverage.flags(STATIC, found, "s8")]


def test_a_scale_that_is_stored_is_no_weight(tmp_path):
    nodes = [node("Mul", "x W", "z"), node("LayerNormalization", "z g b")]
    weights = {"W": random(4, 1), "g": random(3), "b": random(3)}
    assert totals(read(tmp_path, nodes, {"x": random(1, 4, 3)}, weights)) == (0, 0)


@pytest.mark.parametrize("schema", onnx.defs.get_all_schemas(), ids=lambda schema: f"{schema.domain}.{schema.name}")
def test_no_operator_of_the_standard_has_weights_that_nobody_counts(schema):
    """By what the standard calls its inputs, and says of it."""
    counted = schema.name in work.MULTIPLIES or (schema.name, schema.domain) in work.OF_DOMAIN
    if counted or schema.name in work.TABLES or schema.name not in work.NO_WEIGHTS:
        return  # what is in no list is listed as uncounted
    assert not {each.name.lower() for each in schema.inputs} & {"w", "r", "weight", "weights", "filter", "kernel"}
    told = (schema.doc or "").lower().partition("example")[0]
    assert not any(word in told for word in ("matrix product", "matrix multipl", "matmul", "convolution operator"))


def test_the_lists_of_operators_do_not_overlap():
    of_domain = {name for name, _ in work.OF_DOMAIN}
    lists = [set(work.MULTIPLIES), of_domain, set(work.TABLES), set(work.NO_WEIGHTS)]
    assert sum(map(len, lists)) == len(set().union(*lists))
