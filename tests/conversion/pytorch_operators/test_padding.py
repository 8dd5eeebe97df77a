from __future__ import annotations

import numpy as np
import onnx
import pytest

from bitpick.conversion.pytorch_operators import padding as module
from bitpick.errors import OperatorError

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")

import torch

from bitpick.conversion.pytorch_operators.assembly import Assembly
from bitpick.conversion.pytorch_operators.context import Context

pytestmark = pytest.mark.frameworks


def pool(*spatial, **attributes):
    """A pooling node on two channels of an image."""
    assembly = Assembly()
    values = {"x": assembly.input("x", (None, 2, *spatial), "float32")}
    node = onnx.helper.make_node("MaxPool", ["x"], ["y"], "pool", **attributes)
    return Context(node, "pool", 17, assembly, values, {}, {})


def run(context, node, x):
    """What a node of the graph computes."""
    graph = context.assembly.graph
    graph.output(node)
    return torch.fx.GraphModule(context.assembly.root, graph)(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize(
    ("attributes", "pads"),
    [
        ({}, [(0, 0), (0, 0)]),
        ({"pads": [1, 2, 3, 4]}, [(1, 3), (2, 4)]),
        ({"auto_pad": "VALID", "pads": [1, 1, 1, 1]}, [(0, 0), (0, 0)]),
        ({"auto_pad": "SAME_UPPER"}, [(0, 1), (1, 1)]),  # of 6 by strides of 2, and of 7 by strides of 2
        ({"auto_pad": "SAME_LOWER"}, [(1, 0), (1, 1)]),
    ],
)
def test_padding_as_an_attribute_or_as_the_sizes_need_it(attributes, pads):
    assert module.spatial_pads(pool(6, 7, **attributes), [3, 3], [2, 2], [1, 1]) == pads


def test_a_dilated_kernel_needs_more_and_a_small_one_none():
    same = pool(8, 8, auto_pad="SAME_UPPER")
    assert module.spatial_pads(same, [3, 1], [1, 2], [2, 1]) == [(2, 2), (0, 0)]


def test_padding_that_depends_on_a_free_size_is_refused():
    with pytest.raises(OperatorError, match=r"the node pool .* has a free size in the shape of its input x"):
        module.spatial_pads(pool(None, 8, auto_pad="SAME_UPPER"), [3, 3], [1, 1], [1, 1])


def test_equal_sides_are_left_to_the_operator_and_others_get_a_module():
    context = pool(4, 4)
    assert module.padded(context, [(1, 1), (2, 2)], 0.0) == (context.value(0), (1, 2))
    node, left = module.padded(context, [(1, 0), (2, 3)], -9.0)
    assert left == (0, 0)
    x = np.random.default_rng(0).random((3, 2, 4, 4), np.float32)
    found = run(context, node, x)
    np.testing.assert_array_equal(found, np.pad(x, [(0, 0), (0, 0), (1, 0), (2, 3)], constant_values=-9))


@pytest.mark.parametrize("spatial", [(5,), (5, 6), (5, 6, 7)])
def test_a_negative_padding_cuts_off(spatial):
    context = pool(*spatial)
    pads = [(-1, 2), (1, -2), (-1, -1)][: len(spatial)]
    x = np.random.default_rng(0).random((2, 2, *spatial), np.float32)
    found = run(context, module.pad_module(context, context.value(0), pads, 7.0), x)
    kept = [slice(None)] * 2 + [
        slice(max(-a, 0), size - max(-b, 0)) for size, (a, b) in zip(spatial, pads, strict=True)
    ]
    added = [(0, 0)] * 2 + [(max(a, 0), max(b, 0)) for a, b in pads]
    np.testing.assert_array_equal(found, np.pad(x[tuple(kept)], added, constant_values=7))


def test_where_nothing_is_padded_nothing_is_added():
    context = pool(4, 4)
    x = context.value(0)
    assert module.pad_module(context, x, [(0, 0), (0, 0)], 0.0) is x
    assert module.trimmed(context, x, [(1, 0)]) == (x, [(1, 0)])
    assert len(context.assembly.graph.nodes) == 1
