from __future__ import annotations

import pytest
from hypothesis import strategies as st

from tests.conversion.pytorch_operators.nodes import (
    OPSETS,
    Family,
    Node,
    image,
    numbers,
)

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")
pytestmark = pytest.mark.frameworks

family = Family("convolution")


def window(draw, axes, free_pads=True):
    """Attributes of a convolution: kernel sizes, strides, dilations, padding of one kind or another."""
    kernel = draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes))
    attributes = {"strides": draw(st.lists(st.integers(1, 2), min_size=axes, max_size=axes))}
    if draw(st.booleans()):
        attributes["dilations"] = draw(st.lists(st.integers(1, 2), min_size=axes, max_size=axes))
    kind = draw(st.sampled_from(["none", "even", "uneven", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if kind in ("even", "uneven"):
        before = draw(st.lists(st.integers(0, 2), min_size=axes, max_size=axes))
        after = before if kind == "even" else draw(st.lists(st.integers(0, 2), min_size=axes, max_size=axes))
        attributes["pads"] = before + after
    elif kind != "none":
        attributes["auto_pad"] = kind
        attributes.pop("dilations", None)
    return kernel, attributes


@family("Conv")
def convolution(draw, operator):
    x = image(draw)
    kernel, attributes = window(draw, x.ndim - 2)
    groups = draw(st.sampled_from([1, x.shape[1]]))
    weight = numbers(draw, groups * draw(st.integers(1, 2)), x.shape[1] // groups, *kernel)
    bias = [numbers(draw, len(weight))] if draw(st.booleans()) else []
    return Node(operator, [x, weight, *bias], {1, 2}, attributes | {"group": groups}, draw(OPSETS), free=True)


@family("ConvTranspose")
def transposed(draw, operator):
    x = image(draw, axes=draw(st.integers(1, 2)))
    kernel, attributes = window(draw, x.ndim - 2)
    kernel = [k + 1 for k in kernel]  # else nothing is left behind the padding
    if attributes.get("auto_pad", "").startswith("SAME"):
        kernel = [max(k, stride) for k, stride in zip(kernel, attributes["strides"], strict=True)]
    elif draw(st.booleans()):
        attributes["output_padding"] = [draw(st.integers(0, stride - 1)) for stride in attributes["strides"]]
    elif draw(st.booleans()) and "auto_pad" not in attributes:
        attributes.pop("pads", None)
        sizes = zip(x.shape[2:], attributes["strides"], kernel, strict=True)
        attributes["output_shape"] = [stride * (size - 1) + k - draw(st.integers(0, 1)) for size, stride, k in sizes]
        attributes.pop("dilations", None)
    groups = draw(st.sampled_from([1, x.shape[1]]))
    weight = numbers(draw, x.shape[1], draw(st.integers(1, 2)), *kernel)
    bias = [numbers(draw, weight.shape[1] * groups)] if draw(st.booleans()) else []
    return Node(operator, [x, weight, *bias], {1, 2}, attributes | {"group": groups}, draw(OPSETS), free=True)


test_convolution = family.test()


def test_no_operator_is_forgotten():
    assert family.missing() == set()
