from __future__ import annotations

import onnx.parser
import pytest

from bitpick.conversion.onnx_decisions import decides

IF = """{given} y = If(c) <
    then_branch = yes () => (float[N, 4] a) {{ a = Relu(x) }},
    else_branch = no () => (float[N, 4] b) {{ b = Neg(x) }}
>"""
LOOP = """y = Loop({turns}, {go}, x) <
    body = again (int64 i, bool on, float[N, 4] s) => (bool next, float[N, 4] t) {{ t = Tanh(s) {end} }}
>"""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (IF.format(given="m = ReduceSum<keepdims=0>(x) c = Greater(m, zero)"), True),
        (IF.format(given="c = Greater(zero, zero)"), False),
        (IF.format(given="h = Shape(x) d = ReduceSum<keepdims=0>(h) c = Greater(d, zero)"), False),
        (LOOP.format(turns="three", go="yes", end="next = Identity(on)"), False),
        (LOOP.format(turns="three", go="yes", end="next = Less(i, three)"), False),
        (LOOP.format(turns="", go="yes", end="m = ReduceSum<keepdims=0>(t) next = Greater(m, zero)"), True),
        (LOOP.format(turns="three", go="yes", end="m = ReduceSum<keepdims=0>(s) next = Greater(m, zero)"), True),
        ("h = ReduceSum(x) n = Cast<to=7>(h) " + LOOP.format(turns="n", go="yes", end="next = Not(on)"), True),
        ("y = Tanh(x)", False),
    ],
)  # fmt: skip
def test_what_is_decided_by_numbers_that_are_given(text, found):
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> g (float[N,4] x) => (float[N,4] y) {{ {text} }}'
    )
    assert decides(model.graph.node, ["x"]) == found


def test_a_state_that_becomes_what_is_given_decides_a_turn_later():
    text = """y, z = Loop(three, yes, x, zero) <
        body = again (int64 i, bool on, float[N, 4] s, float k) => (bool next, float[N, 4] t, float l) {
            t = Tanh(s) l = ReduceMax<keepdims=0>(s) next = Greater(k, zero) }
    >"""
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> g (float[N,4] x) => (float[N,4] y) {{ {text} }}'
    )
    assert decides(model.graph.node, ["x"])
