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

family = Family("shape")


@family("Identity", "Dropout")
def identity(draw, operator):
    return Node(operator, [tensor(draw)], opset=draw(OPSETS), free=True)


@family("Shape")
def shape(draw, operator):
    x = tensor(draw)
    ends = [{}] if x.ndim < 2 else [{}, {"start": 1}, {"start": -1}, {"end": -1}]
    return Node(operator, [x], attributes=draw(st.sampled_from(ends)), opset=draw(st.sampled_from([17, 21])))


@family("Size")
def size(draw, operator):
    return Node(operator, [tensor(draw)])


@family("Reshape")
def reshape(draw, operator):
    n, a, b, c = 2, *draw(st.tuples(*[st.integers(1, 4)] * 3))
    targets = [[0, -1], [-1, a * b * c], [0, c, a * b], [-1, c, b, a], [0, 0, -1], [0, a, -1, c], [-1], [-1, c]]
    target = draw(st.sampled_from(targets))
    return Node(operator, [numbers(draw, n, a, b, c), np.array(target)], {1}, opset=draw(OPSETS), free=True)


@family("Flatten")
def flatten(draw, operator):
    x = tensor(draw)
    return Node(operator, [x], attributes={"axis": draw(st.integers(-x.ndim, x.ndim))}, opset=draw(OPSETS))


@family("Transpose")
def transpose(draw, operator):
    x = tensor(draw)
    order = draw(st.sampled_from([{}, {"perm": draw(st.permutations(range(x.ndim)))}]))
    return Node(operator, [x], attributes=order, opset=draw(OPSETS))


@family("Squeeze")
def squeeze(draw, operator):
    x = numbers(draw, 2, 1, draw(st.integers(2, 3)), 1)
    axes = draw(st.sampled_from([None, [1], [3], [-1], [1, 3], [-3, -1]]))
    return Node(operator, [x] if axes is None else [x, np.array(axes)], {1}, opset=draw(OPSETS), free=axes is not None)


@family("Unsqueeze")
def unsqueeze(draw, operator):
    axes = draw(st.sampled_from([[0], [1], [-1], [1, 2], [3, 0], [-1, -3]]))
    return Node(operator, [numbers(draw, 2, 3), np.array(axes)], {1}, opset=draw(OPSETS), free=True)


@family("Concat")
def concat(draw, operator):
    x = tensor(draw)
    axis = draw(st.integers(-x.ndim, x.ndim - 1))
    others = [x[tuple(slice(0, 1) if i == axis % x.ndim else slice(None) for i in range(x.ndim))] + 1 for _ in range(2)]
    return Node(operator, [x, *others], draw(st.sampled_from([set(), {1}, {0, 2}])), {"axis": axis}, draw(OPSETS))


@family("Split")
def split(draw, operator):
    count, each = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    axis = draw(st.sampled_from([1, -1]))
    opset = draw(OPSETS)
    if draw(st.booleans()):
        sizes = draw(st.lists(st.integers(1, 3), min_size=count, max_size=count))
        x = numbers(draw, 2, sum(sizes), sum(sizes))
        return Node(operator, [x, np.array(sizes)], {1}, {"axis": axis}, opset, count, free=True)
    # Since opset 18 the last part may be smaller.
    newer = opset >= 18
    size = count * each - draw(st.integers(0, min(each - 1, 1) * newer))
    attributes = {"axis": axis} | ({"num_outputs": count} if newer else {})
    return Node(operator, [numbers(draw, 2, size, size)], set(), attributes, opset, count, free=True)


@family("Expand")
def expand(draw, operator):
    whole = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    own = [draw(st.sampled_from([size, 1])) for size in whole][draw(st.integers(0, len(whole))) :]
    wanted = [draw(st.sampled_from([size, 1])) for size in whole]
    return Node(operator, [numbers(draw, *own), np.array(wanted)], {1}, opset=draw(OPSETS))


@family("Tile")
def tile(draw, operator):
    x = tensor(draw)
    repeats = draw(st.lists(st.integers(1, 3), min_size=x.ndim, max_size=x.ndim))
    return Node(operator, [x, np.array(repeats)], {1}, opset=draw(OPSETS))


@family("DepthToSpace", "SpaceToDepth")
def depth_and_space(draw, operator):
    block, channels = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    if operator == "DepthToSpace":
        x = numbers(draw, 2, channels * block**2, draw(st.integers(1, 3)), 2)
        mode = draw(st.sampled_from([{}, {"mode": "DCR"}, {"mode": "CRD"}]))
        return Node(operator, [x], set(), {"blocksize": block} | mode, draw(OPSETS), free=True)
    return Node(operator, [numbers(draw, 2, channels, block * 2, block)], set(), {"blocksize": block}, free=True)


@family("ConstantOfShape")
def constant(draw, operator):
    return Node(operator, [np.array(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))], {0})


test_shape = family.test()


def test_no_operator_is_forgotten():
    assert family.missing() == set()
