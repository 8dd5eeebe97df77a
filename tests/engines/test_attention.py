from __future__ import annotations

import pytest

from bitpick.engines import attention
from bitpick.engines.spread import Step


def chain(*kinds):
    """Products of q, k and v, which steps compute, with other steps before and after the Softmax."""
    steps = [Step(name, "Linear", ("x", f"{name}.weight"), (name,)) for name in ("q", "k", "v")]
    tensor = ("q", "k")
    for number, kind in enumerate(kinds):
        steps.append(Step(f"{kind}{number}", kind, tensor, (f"t{number}",)))
        tensor = (f"t{number}", "v") if kind == "Softmax" else (f"t{number}", "stored")
    return steps


def found(steps):
    return [step.name for step in attention.steps(steps)]


def test_both_products_and_what_lies_between_them():
    steps = chain("MatMul", "Div", "Add", "Softmax", "MatMul", "Transpose", "Reshape")
    assert found(steps) == ["MatMul0", "Div1", "Add2", "Softmax3", "MatMul4"]


@pytest.mark.parametrize(
    "kinds",
    [
        ("matmul", "truediv", "where", "Softmax", "matmul"),
        ("MatMul", "Multiply", "Select", "Softmax", "MatMul"),
    ],
)
def test_the_names_that_engines_have_for_the_operators(kinds):
    assert len(found(chain(*kinds))) == len(kinds)


def test_a_mask_that_is_computed_is_not_inside():
    steps = chain("MatMul", "Add", "Softmax", "MatMul")
    add = next(step for step in steps if step.kind == "Add")
    mask = Step("mask", "Mul", ("lengths", "lowest"), ("stored",))
    assert found([*steps, mask]) == ["MatMul0", add.name, "Softmax2", "MatMul3"]


@pytest.mark.parametrize("kinds", [("Gemm", "Softmax"), ("MatMul", "Relu", "Softmax", "MatMul"), ("MatMul", "Softmax")])
def test_a_softmax_alone_is_no_attention(kinds):
    assert found(chain(*kinds)) == []


def test_products_with_stored_weights_are_no_attention():
    steps = [
        Step("first", "MatMul", ("x", "w"), ("a",)),
        Step("softmax", "Softmax", ("a",), ("b",)),
        Step("second", "MatMul", ("b", "codebook"), ("y",)),
    ]
    assert found(steps) == []


@pytest.mark.parametrize("kind", ["ScaledDotProductAttention", "scaled_dot_product_attention", "MultiHeadAttention"])
def test_an_operator_that_is_attention(kind):
    assert found([Step("all", kind, ("q", "k", "v"), ("y",))]) == ["all"]
