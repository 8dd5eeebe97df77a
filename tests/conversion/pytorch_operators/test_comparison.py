from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st
from onnx import helper

from tests.conversion.pytorch_operators.nodes import (
    OPSETS,
    Family,
    Node,
    integers,
    numbers,
    tensor,
)

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")
pytestmark = pytest.mark.frameworks

family = Family("comparison")

BOOLEAN = ("And", "Or", "Xor")


@family("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", *BOOLEAN)
def compared(draw, operator):
    dtype = np.bool_ if operator in BOOLEAN else draw(st.sampled_from([np.float32, np.int64]))
    whole = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    shapes = [whole, draw(st.sampled_from([whole, whole[1:], [1], []]))]
    arrays = [integers(draw, 0, 1 if dtype == np.bool_ else 3, *shape).astype(dtype) for shape in shapes]
    return Node(operator, arrays, draw(st.sampled_from([set(), {0}, {1}])), opset=draw(OPSETS))


@family("Not")
def negated(draw, operator):
    return Node(operator, [tensor(draw) > 0], free=True)


@family("IsNaN", "IsInf")
def special(draw, operator):
    x = np.where(tensor(draw) > 0, draw(st.sampled_from([np.nan, np.inf, -np.inf])), 1).astype(np.float32)
    signs = [{}, {"detect_negative": 0}, {"detect_positive": 0}]
    return Node(operator, [x], attributes=draw(st.sampled_from(signs)) if operator == "IsInf" else {}, opset=20)


@family("Where")
def where(draw, operator):
    x = tensor(draw)
    inputs = [np.asarray(x.max() > 0) if draw(st.booleans()) else x > 0, x, numbers(draw, x.shape[-1])]
    return Node(operator, inputs, draw(st.sampled_from([set(), {0}, {1}, {2}, {1, 2}])))


@family("Cast", "CastLike")
def cast(draw, operator):
    types = [np.float32, np.int64, np.int32, np.bool_, np.float64]
    x = (tensor(draw) * 3).astype(draw(st.sampled_from(types)))
    target = np.dtype(draw(st.sampled_from(types)))
    if operator == "CastLike":
        return Node(operator, [x, np.zeros(1, target)], draw(st.sampled_from([{1}, set()])))
    return Node(
        operator, [x], attributes={"to": helper.np_dtype_to_tensor_dtype(target)}, opset=draw(OPSETS), free=True
    )


test_comparison = family.test()


def test_no_operator_is_forgotten():
    assert family.missing() == set()
