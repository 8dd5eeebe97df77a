from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st

from tests.conversion.pytorch_operators.nodes import OPSETS, Family, Node, image, numbers, tensor

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")
pytestmark = pytest.mark.frameworks

family = Family("activation")
SINCE = {"Mish": 18, "Gelu": 20, "HardSwish": 14}


@family("Relu", "Sigmoid", "Tanh", "HardSwish", "Softplus", "Softsign", "Mish")
def plain(draw, operator):
    return Node(
        operator, [tensor(draw) * 3], opset=max(draw(OPSETS), SINCE.get(operator, 13)), free=draw(st.booleans())
    )


@family("LeakyRelu", "Elu", "Celu", "ThresholdedRelu")
def with_alpha(draw, operator):
    alpha = draw(st.sampled_from([{}, {"alpha": 0.3}, {"alpha": 1.5}]))
    return Node(operator, [tensor(draw)], attributes=alpha, opset=draw(OPSETS), free=True)


@family("Selu")
def selu(draw, operator):
    return Node(operator, [tensor(draw)], attributes=draw(st.sampled_from([{}, {"alpha": 1.2, "gamma": 2.0}])))


@family("Gelu")
def gelu(draw, operator):
    approximate = draw(st.sampled_from([{}, {"approximate": "tanh"}, {"approximate": "none"}]))
    return Node(operator, [tensor(draw)], attributes=approximate, opset=20)


@family("HardSigmoid")
def hard_sigmoid(draw, operator):
    slope = draw(st.sampled_from([{}, {"alpha": 1 / 6, "beta": 0.5}, {"alpha": 0.4, "beta": 0.1}]))
    return Node(operator, [tensor(draw) * 3], attributes=slope, free=True)


@family("PRelu")
def prelu(draw, operator):
    x = image(draw, size=2)
    channels, rest = x.shape[1], [1] * (x.ndim - 2)
    shapes = [(1,), (channels, *rest), (1, channels, *rest), x.shape[1:], x.shape[-1:]]
    stored = draw(st.sampled_from([{1}, {1}, set()]))
    shape = draw(st.sampled_from(shapes))
    return Node(operator, [x, numbers(draw, *shape)], stored, free=bool(stored))


@family("Clip")
def clip(draw, operator):
    dtype = draw(st.sampled_from([np.float32, np.float32, np.int32]))
    bounds = [(0, 6), (0, None), (None, 1), (-1, 1), (None, None)]
    low, high = draw(st.sampled_from(bounds))
    inputs = [tensor(draw, dtype=dtype) * 4, *(None if b is None else np.asarray(b, dtype) for b in (low, high))]
    return Node(operator, inputs, draw(st.sampled_from([{1, 2}, {1}, set()])))


@family("Shrink")
def shrink(draw, operator):
    limit = draw(st.sampled_from([0.25, 0.5]))
    return Node(operator, [tensor(draw)], set(), {"lambd": limit, "bias": draw(st.sampled_from([0.0, limit, 0.1]))}, 13)


@family("Softmax", "LogSoftmax")
def softmax(draw, operator):
    x = tensor(draw, 1, 4)
    axis = draw(st.sampled_from([{}, *({"axis": axis} for axis in range(-x.ndim, x.ndim))]))
    return Node(operator, [x], attributes=axis, opset=draw(OPSETS))


test_activation = family.test()


def test_no_operator_is_forgotten():
    assert family.missing() == set()
