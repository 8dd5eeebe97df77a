from __future__ import annotations

import pytest
from hypothesis import strategies as st

from tests.conversion.pytorch_operators.nodes import (
    OPSETS,
    Family,
    Node,
    image,
    numbers,
    tensor,
)

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")
pytestmark = pytest.mark.frameworks

family = Family("normalization")

EPSILON = st.sampled_from([{}, {"epsilon": 0.01}])


@family("BatchNormalization")
def batch(draw, operator):
    x = draw(st.sampled_from([image(draw, size=2), numbers(draw, 2, 3)]))
    channels = x.shape[1]
    statistics = [numbers(draw, channels) for _ in range(3)] + [numbers(draw, channels, low=0.1)]
    return Node(operator, [x, *statistics], {1, 2, 3, 4}, draw(EPSILON), draw(OPSETS), free=True)


@family("InstanceNormalization")
def instance(draw, operator):
    x = image(draw, size=2)
    return Node(operator, [x, *(numbers(draw, x.shape[1]) for _ in range(2))], {1, 2}, draw(EPSILON), free=True)


@family("GroupNormalization")
def group(draw, operator):
    groups, each = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    x = image(draw, channels=groups * each, size=2)
    scales = [numbers(draw, groups * each) for _ in range(2)]
    return Node(operator, [x, *scales], {1, 2}, {"num_groups": groups} | draw(EPSILON), 21, free=True)


@family("LayerNormalization")
def layer(draw, operator):
    x = tensor(draw, 2, 4)
    axis = draw(st.integers(1, x.ndim - 1))
    scale = draw(st.sampled_from([x.shape[axis:], x.shape[-1:]]))
    inputs = [x, *(numbers(draw, *scale) for _ in range(draw(st.integers(1, 2))))]
    attributes = {"axis": draw(st.sampled_from([axis, axis - x.ndim]))} | draw(EPSILON)
    return Node(
        operator,
        inputs,
        draw(st.sampled_from([{1, 2}, {1, 2}, set()])),
        attributes,
        17,
        draw(st.sampled_from([1, 1, 3])),
    )


@family("RMSNormalization")
def root_mean_square(draw, operator):
    x = tensor(draw, 2, 4)
    inputs = [x, numbers(draw, x.shape[-1])]
    return Node(operator, inputs, draw(st.sampled_from([{1}, set()])), draw(EPSILON), 23)


@family("LRN")
def local_response(draw, operator):
    attributes = {"size": draw(st.sampled_from([1, 3, 5]))}
    attributes |= draw(st.sampled_from([{}, {"alpha": 0.3, "beta": 0.5, "bias": 2.0}]))
    return Node(operator, [image(draw, axes=2)], set(), attributes, free=True)


@family("MeanVarianceNormalization")
def mean_variance(draw, operator):
    axes = draw(st.sampled_from([{}, {"axes": [1, 2]}, {"axes": [3]}]))
    return Node(operator, [image(draw, axes=2)], set(), axes, 13)


@family("LpNormalization")
def lp(draw, operator):
    x = tensor(draw)
    return Node(
        operator, [x], set(), {"p": draw(st.integers(1, 2)), "axis": draw(st.integers(-x.ndim, x.ndim - 1))}, 13
    )


test_normalization = family.test()


def test_no_operator_is_forgotten():
    assert family.missing() == set()
