from __future__ import annotations

import numpy as np
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

family = Family("resize")

COORDINATES = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]


@family("Resize")
def resize(draw, operator):
    mode = draw(st.sampled_from(["nearest", "linear", "cubic"]))
    axes = 2 if mode == "cubic" else draw(st.integers(1, 3))
    x = image(draw, axes, size=3)
    attributes = {"mode": mode, "coordinate_transformation_mode": draw(st.sampled_from(COORDINATES))}
    if mode == "nearest":
        roundings = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
        attributes["nearest_mode"] = draw(st.sampled_from(roundings))
    elif mode == "cubic" and attributes["coordinate_transformation_mode"] == "asymmetric":
        attributes["coordinate_transformation_mode"] = "half_pixel"
    scales = [1.0, 1.0, *(draw(st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0])) for _ in range(axes))]
    if draw(st.booleans()):
        return Node(operator, [x, None, np.array(scales, np.float32)], {2}, attributes, draw(OPSETS), free=True)
    sizes = [x.shape[0], x.shape[1], *(draw(st.integers(2, 9)) for _ in range(axes))]
    return Node(operator, [x, None, None, np.array(sizes)], {3}, attributes, draw(OPSETS))


test_resize = family.test()


def test_no_operator_is_forgotten():
    assert family.missing() == set()
