from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st

from tests.conversion.pytorch_operators.nodes import (
    OPSETS,
    Family,
    Node,
    image,
    integers,
    numbers,
    tensor,
)

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")
pytestmark = pytest.mark.frameworks

family = Family("indexing")


@family("Slice")
def slices(draw, operator):
    x = tensor(draw, 2, 4)
    axes = sorted(draw(st.sets(st.integers(1, x.ndim - 1), min_size=1)))
    steps = [draw(st.sampled_from([1, 1, 2, -1, -2])) for _ in axes]
    starts, ends = [], []  # of at least one element; backwards where the step is negative
    for axis, step in zip(axes, steps, strict=True):
        size = x.shape[axis]
        first, last = sorted([draw(st.integers(0, size - 1)), draw(st.integers(0, size - 1))])
        behind = draw(st.sampled_from([last + 1, last + 1, 2**31 - 1, 2**63 - 1]))
        starts.append((first if step > 0 else last) - draw(st.sampled_from([0, size])))
        ends.append(behind if step > 0 else draw(st.sampled_from([first - 1 - size, -(2**31), -(2**63)])))
    inputs = [x, np.array(starts), np.array(ends), np.array(axes)]
    if set(steps) != {1}:
        inputs.append(np.array(steps))
    return Node(operator, inputs, {1, 2, 3, 4}, opset=draw(OPSETS), free=True)


@family("Gather")
def gather(draw, operator):
    x = tensor(draw, 2, 3)
    axis = draw(st.integers(0, x.ndim - 1))
    shape = draw(st.sampled_from([(), (3,), (1,), (2, 2)]))
    stored = draw(st.sampled_from([{1}, {0}, set()]))
    lowest = 0 if stored == {0} and axis == 0 else -x.shape[axis]
    indices = integers(draw, lowest, x.shape[axis] - 1, *shape).astype(draw(st.sampled_from([np.int64, np.int32])))
    axis = draw(st.sampled_from([axis, axis - x.ndim]))
    return Node(operator, [x, indices], stored, {"axis": axis}, draw(OPSETS))


@family("GatherElements")
def gather_elements(draw, operator):
    x = tensor(draw, 2, 3)
    axis = draw(st.integers(1, x.ndim - 1))
    shape = [draw(st.integers(1, 5)) if i == axis else size for i, size in enumerate(x.shape)]
    indices = integers(draw, -x.shape[axis], x.shape[axis] - 1, *shape)
    indices = indices.astype(draw(st.sampled_from([np.int64, np.int32])))
    return Node(operator, [x, indices], draw(st.sampled_from([{1}, set()])), {"axis": axis})


@family("GatherND")
def gather_nd(draw, operator):
    x = tensor(draw, 2, 4)
    lead = draw(st.integers(0, x.ndim - 1))
    count = draw(st.integers(1, x.ndim - lead))
    parts = [integers(draw, -size, size - 1, *x.shape[:lead], 3) for size in x.shape[lead : lead + count]]
    stored = draw(st.sampled_from([{1}, set()]))
    attributes = {"batch_dims": lead}
    return Node(operator, [x, np.stack(parts, -1)], stored, attributes, free=lead > 0 and not stored)


@family("ScatterElements")
def scatter_elements(draw, operator):
    x = tensor(draw, 2, 3)
    axis = draw(st.integers(0, x.ndim - 1))
    reduction = draw(st.sampled_from(["none", "add", "mul", "max", "min"]))
    # Which of several elements for one place stays is not defined without a reduction.
    count = 1 if reduction == "none" else draw(st.integers(1, 4))
    shape = [count if i == axis else size for i, size in enumerate(x.shape)]
    indices = integers(draw, -x.shape[axis], x.shape[axis] - 1, *shape)
    attributes = {"axis": draw(st.sampled_from([axis, axis - x.ndim]))} | (
        {} if count == 1 else {"reduction": reduction}
    )
    return Node(operator, [x, indices, numbers(draw, *shape)], draw(st.sampled_from([{1}, set()])), attributes, 18)


@family("ScatterND")
def scatter_nd(draw, operator):
    x = tensor(draw, 2, 4)
    count = draw(st.integers(1, x.ndim))
    reduction = draw(st.sampled_from(["none", "add"]))
    rows = 1 if reduction == "none" else 3
    indices = np.stack([integers(draw, -size, size - 1, rows) for size in x.shape[:count]], -1)
    updates = numbers(draw, rows, *x.shape[count:])
    return Node(
        operator, [x, indices, updates], draw(st.sampled_from([{1}, {1, 2}, set()])), {"reduction": reduction}, 18
    )


@family("OneHot")
def one_hot(draw, operator):
    depth, axes = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    indices = integers(draw, -depth - 1, depth, *draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes)))
    ends = np.array([0, 1], draw(st.sampled_from([np.float32, np.int64])))
    depth = np.array(depth) if draw(st.booleans()) else np.array([depth])
    return Node(operator, [indices, depth, ends], {1, 2}, {"axis": draw(st.integers(-axes - 1, axes))}, free=True)


@family("GridSample")
def grid_sample(draw, operator):
    axes = draw(st.integers(2, 3))
    x, opset = image(draw, axes, size=3), draw(st.sampled_from([16, 20]))
    modes = {16: ["bilinear", "nearest", "bicubic"], 20: ["linear", "nearest", "cubic"]}[opset]
    axes = 2 if opset == 16 else axes
    x = x[:, :, :, :, 0] if x.ndim > axes + 2 else x
    attributes = {
        "mode": draw(st.sampled_from(modes[: 2 if axes == 3 else 3])),
        "padding_mode": draw(st.sampled_from(["zeros", "border", "reflection"])),
        "align_corners": draw(st.integers(0, 1)),
    }
    grid = numbers(draw, 2, *[3] * axes, axes, low=-1.2, high=1.2)
    return Node(operator, [x, grid], set(), attributes, opset, free=True)


@family("Trilu")
def triangle(draw, operator):
    diagonal = draw(st.sampled_from([[], [np.array(0)], [np.array(1)], [np.array(-1)]]))
    return Node(operator, [tensor(draw, 2, 3), *diagonal], {1}, {"upper": draw(st.integers(0, 1))}, free=True)


@family("Range")
def numbers_in_a_range(draw, operator):
    dtype = draw(st.sampled_from([np.int64, np.float32]))
    return Node(operator, [np.array(n, dtype) for n in (0, draw(st.integers(1, 5)), 1)], {0, 1, 2})


@family("Pad")
def pad(draw, operator):
    x = image(draw, size=4)
    mode, opset = draw(st.sampled_from(["constant", "reflect", "edge", "wrap"])), draw(OPSETS)
    mode = "edge" if mode == "wrap" and opset < 19 else mode
    axes = list(range(x.ndim) if mode == "constant" else range(2, x.ndim))
    sizes = [draw(st.integers(-1 if mode == "constant" and axis > 1 else 0, 2)) for axis in axes * 2]
    if opset >= 18 and draw(st.booleans()):
        inputs = [x, np.array(sizes), None, np.array(axes)]
    else:
        half, lead = len(axes), [0] * (x.ndim - len(axes))
        inputs = [x, np.array(lead + sizes[:half] + lead + sizes[half:])]
        inputs += [np.float32(1.5)] if draw(st.booleans()) and mode == "constant" else []
    inputs = [None if array is None else np.asarray(array) for array in inputs]
    return Node(operator, inputs, {1, 2, 3}, {"mode": mode}, opset, free=True)


test_indexing = family.test()


def test_no_operator_is_forgotten():
    assert family.missing() == set()
