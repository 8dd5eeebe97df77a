from __future__ import annotations

import pytest
from hypothesis import strategies as st

from tests.conversion.pytorch_operators.nodes import (
    OPSETS,
    Family,
    Node,
    image,
)

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")
pytestmark = pytest.mark.frameworks

family = Family("pooling")


def windows(draw, axes, dilated=False):
    kernel = draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes))
    attributes = {"kernel_shape": kernel}
    attributes["strides"] = draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes))
    kind = draw(st.sampled_from(["none", "pads", "pads", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if kind == "pads":
        attributes["pads"] = [draw(st.integers(0, k - 1)) for k in kernel * 2]
    elif kind != "none":
        attributes["auto_pad"] = kind
        attributes["kernel_shape"] = [max(k, s) for k, s in zip(kernel, attributes["strides"], strict=True)]
    if kind in ("none", "pads"):
        attributes["ceil_mode"] = draw(st.integers(0, 1))
        if dilated and draw(st.booleans()):
            attributes["dilations"] = draw(st.lists(st.integers(1, 2), min_size=axes, max_size=axes))
    return attributes


@family("MaxPool", "AveragePool")
def pool(draw, operator):
    x = image(draw)
    attributes = windows(draw, x.ndim - 2, operator == "MaxPool")
    if operator == "AveragePool":
        attributes["count_include_pad"] = draw(st.integers(0, 1))
    return Node(operator, [x], set(), attributes, draw(OPSETS), free=True)


@family("LpPool")
def lp_pool(draw, operator):
    x = image(draw)
    attributes = windows(draw, x.ndim - 2) | {"p": draw(st.integers(1, 3))}
    return Node(operator, [x], set(), attributes, 18, free=True)


@family("GlobalAveragePool", "GlobalMaxPool")
def global_pool(draw, operator):
    return Node(operator, [image(draw)], opset=draw(OPSETS), free=True)


@family("GlobalLpPool")
def global_lp_pool(draw, operator):
    return Node(operator, [image(draw)], set(), {"p": draw(st.integers(1, 3))}, free=True)


test_pooling = family.test()


def test_no_operator_is_forgotten():
    assert family.missing() == set()
