from __future__ import annotations

import pytest
from hypothesis import strategies as st

from tests.conversion.pytorch_operators.nodes import (
    OPSETS,
    Family,
    Node,
    numbers,
)

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")
pytestmark = pytest.mark.frameworks

family = Family("linear")


@family("Gemm")
def gemm(draw, operator):
    rows, inner, columns = draw(st.tuples(*[st.integers(1, 4)] * 3))
    flips = {"transA": draw(st.integers(0, 1)), "transB": draw(st.integers(0, 1))}
    first, second = numbers(draw, rows, inner), numbers(draw, inner, columns)
    inputs = [first.T.copy() if flips["transA"] else first, second.T.copy() if flips["transB"] else second]
    shapes = [(), (1,), (columns,), (1, columns), (rows, columns), (rows, 1)]
    if draw(st.booleans()):
        inputs.append(numbers(draw, *draw(st.sampled_from(shapes))))
        flips |= draw(st.sampled_from([{}, {"beta": 0.5}]))
    stored = draw(st.sampled_from([{1, 2}, {1}, {0}, {0, 2}, set()]))
    return Node(operator, inputs, stored, flips | draw(st.sampled_from([{}, {"alpha": 1.5}])), draw(OPSETS))


@family("MatMul")
def matmul(draw, operator):
    a, b, c, d = draw(st.tuples(*[st.integers(1, 4)] * 4))
    shapes = [((a, b), (b, c)), ((d, a, b), (b, c)), ((d, a, b), (d, b, c)), ((a, b), (d, b, c)), ((b,), (b, c)),
              ((a, b), (b,)), ((2, d, a, b), (d, b, c))]  # fmt: skip
    first, second = draw(st.sampled_from(shapes))
    stored = draw(st.sampled_from([{1}, {1}, {0}, set()]))
    return Node(operator, [numbers(draw, *first), numbers(draw, *second)], stored, opset=draw(OPSETS))


@family("Einsum")
def einsum(draw, operator):
    cases = [("bij, bjk -> bik", (2, 3, 4), (2, 4, 5)), ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)),
             ("...i,ij->...j", (2, 3, 4), (4, 5)), ("bij->bji", (2, 3, 4))]  # fmt: skip
    equation, *shapes = draw(st.sampled_from(cases))
    stored = draw(st.sampled_from([set(), {1}])) if len(shapes) > 1 else set()
    return Node(operator, [numbers(draw, *shape) for shape in shapes], stored, {"equation": equation})


test_linear = family.test()


def test_no_operator_is_forgotten():
    assert family.missing() == set()
