from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st

from tests.conversion.pytorch_operators.nodes import (
    OPSETS,
    Family,
    Node,
    numbers,
    tensor,
)

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")
pytestmark = pytest.mark.frameworks

family = Family("arithmetic")


def pair(draw, **options):
    """Two arrays whose shapes broadcast, either way."""
    whole = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    part = [draw(st.sampled_from([size, 1])) for size in whole][draw(st.integers(0, len(whole))) :]
    arrays = [numbers(draw, *whole, **options), numbers(draw, *part, **options)]
    return arrays[::-1] if draw(st.booleans()) else arrays


def which(draw):
    """Which of two inputs is stored."""
    return draw(st.sampled_from([set(), {0}, {1}]))


@family("Add", "Sub", "Mul", "Div")
def binary(draw, operator):
    dtype = draw(st.sampled_from([np.float32, np.float32, np.int64]))
    first, second = pair(draw, low=-9, high=9, dtype=dtype)
    second = np.where(np.abs(second) < 1, 1, second).astype(dtype)
    return Node(operator, [first, second], which(draw), opset=draw(OPSETS))


@family("Pow")
def power(draw, operator):
    first, second = pair(draw, low=0.1, high=3)
    dtypes = st.sampled_from([np.float32, np.float32, np.int64])
    return Node(operator, [first.astype(draw(dtypes)), second.astype(draw(dtypes))], which(draw))


@family("Mod")
def modulo(draw, operator):
    whole = draw(st.booleans())
    first, second = pair(draw, low=-9, high=9, dtype=np.int64 if whole else np.float32)
    second = np.where(np.abs(second) < 1, 1, second).astype(first.dtype)
    return Node(operator, [first, second], which(draw), {"fmod": 0 if whole and draw(st.booleans()) else 1})


@family("Max", "Min", "Sum", "Mean")
def variadic(draw, operator):
    arrays = [*pair(draw), numbers(draw, 1)][: draw(st.integers(1, 3))]
    return Node(
        operator, arrays, draw(st.sampled_from([set(), {1}, {2}])) & set(range(len(arrays))), opset=draw(OPSETS)
    )


@family(
    "Abs", "Neg", "Exp", "Erf", "Floor", "Ceil", "Round", "Sign", "Sin", "Cos", "Tan", "Atan", "Sinh", "Cosh", "Asinh"
)
def unary(draw, operator):
    x = tensor(draw) * draw(st.sampled_from([0.7, 1.3]))
    x = np.round(x * 2) / 2 if operator == "Round" else x
    return Node(operator, [x.astype(np.float32)], opset=draw(OPSETS), free=True)


@family("Log", "Sqrt", "Reciprocal", "Acosh")
def positive(draw, operator):
    return Node(operator, [tensor(draw, low=1.1, high=3.0)], free=True)


@family("Asin", "Acos", "Atanh")
def small(draw, operator):
    return Node(operator, [tensor(draw) * np.float32(0.45)], free=True)


test_arithmetic = family.test()


def test_no_operator_is_forgotten():
    assert family.missing() == set()
