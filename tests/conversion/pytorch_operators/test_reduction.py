from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st

from tests.conversion.pytorch_operators.nodes import (
    OPSETS,
    Family,
    Node,
    tensor,
)

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")
pytestmark = pytest.mark.frameworks

family = Family("reduction")


def reduced(draw, operator, axes_are_input, **options):
    """A reduction over some axes, all, or none that are given."""
    x = tensor(draw, 1, 4, **options)
    axes = sorted(draw(st.sets(st.integers(0, x.ndim - 1), min_size=0)))
    axes = [axis - draw(st.sampled_from([0, x.ndim])) for axis in axes]
    attributes = {"keepdims": draw(st.integers(0, 1))}
    if not axes:
        return Node(operator, [x], set(), attributes, 18)
    opset = draw(OPSETS)
    if opset < axes_are_input:
        return Node(
            operator, [x], set(), attributes | {"axes": axes}, opset, free=0 not in axes and -x.ndim not in axes
        )
    return Node(operator, [x, np.array(axes)], {1}, attributes, opset, free=True)


@family(
    "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "ReduceProd"
)
def reduction(draw, operator):
    return reduced(draw, operator, axes_are_input=18)


@family("ReduceSum")
def total(draw, operator):
    node = reduced(draw, operator, axes_are_input=13, dtype=draw(st.sampled_from([np.float32, np.int32])))
    if len(node.inputs) == 1 and draw(st.booleans()):
        return Node(operator, node.inputs, set(), {"noop_with_empty_axes": 1}, node.opset)
    return node


@family("ReduceLogSum")
def logarithm(draw, operator):
    return reduced(draw, operator, axes_are_input=18, low=0.5, high=3.0)


@family("ArgMax", "ArgMin")
def arg(draw, operator):
    x = tensor(draw, 2, 4)
    x = np.round(x) if draw(st.booleans()) else x  # some are equal
    attributes = {"axis": draw(st.integers(1, x.ndim - 1)), "keepdims": draw(st.integers(0, 1))}
    return Node(
        operator, [x], set(), attributes | {"select_last_index": draw(st.integers(0, 1))}, draw(OPSETS), free=True
    )


@family("TopK")
def top(draw, operator):
    x = tensor(draw, 2, 4)
    axis = draw(st.integers(1, x.ndim - 1))
    k = np.array([draw(st.integers(1, x.shape[axis]))])
    return Node(operator, [x, k], {1}, {"axis": axis, "largest": draw(st.integers(0, 1))}, draw(OPSETS), 2, free=True)


@family("CumSum")
def cumulated(draw, operator):
    x = tensor(draw, 2, 4)
    flags = {"exclusive": draw(st.integers(0, 1)), "reverse": draw(st.integers(0, 1))}
    return Node(
        operator, [x, np.array(draw(st.integers(1 - x.ndim, x.ndim - 1) if x.ndim else 0))], {1}, flags, free=False
    )


test_reduction = family.test()


def test_no_operator_is_forgotten():
    assert family.missing() == set()
