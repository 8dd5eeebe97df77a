from __future__ import annotations

import operator

import numpy as np
import pytest

from bitpick.conversion.pytorch_operators.sizes import Batch

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")

import torch

from bitpick.conversion.pytorch_operators.assembly import Assembly

pytestmark = pytest.mark.frameworks


@pytest.fixture
def assembly():
    return Assembly()


def made(assembly, *outputs):
    """The graph as a module."""
    assembly.graph.output(outputs)
    assembly.graph.lint()
    return torch.fx.GraphModule(assembly.root, assembly.graph)


def test_each_axis_is_a_number_a_multiple_of_the_batch_or_free(assembly):
    x = assembly.input("x", (None, None, 4), "float32")
    assert assembly.shape(x) == [Batch(), None, 4]
    rows = assembly.method("rows", "flatten", x, 1)
    assert assembly.shape(rows) == [Batch(), None]
    halves = assembly.function("halves", torch.reshape, assembly.input("y", (None, 6), "float32"), (-1, 3))
    assert assembly.shape(halves) == [Batch(2), 3]
    assert assembly.shape(assembly.function("all", torch.sum, halves)) == []


def test_types_are_followed_through_the_graph(assembly):
    x = assembly.input("x", (None, 4), "int64")
    assert assembly.dtype(x) == torch.int64
    assert assembly.dtype(assembly.method("float", "float", x)) == torch.float32
    assert assembly.dtype(assembly.function("more", operator.gt, x, 0)) == torch.bool


def test_a_size_that_no_batch_fits_is_an_error_as_the_node_is_added(assembly):
    x = assembly.input("x", (None, 4), "float32")
    with pytest.raises(RuntimeError, match=r"2, 4|2x4"):
        assembly.module("dense", torch.nn.Linear(5, 2), x)


def test_two_modules_or_buffers_of_one_name_are_both_kept_and_modules_do_not_train(assembly):
    x = assembly.input("x", (None, 2), "float32")
    for factor in (2.0, 3.0):
        layer = torch.nn.Linear(2, 2, bias=False)
        torch.nn.init.eye_(layer.weight).data.mul_(factor)
        x = assembly.module("layer", torch.nn.Sequential(layer, torch.nn.Dropout(0.9)), x)
    for value in (1.0, 10.0):
        x = assembly.function("sum", operator.add, x, assembly.buffer("stored", np.array([value], np.float32)))
    module = made(assembly, x)
    assert [name for name, _ in module.named_children()] == ["layer", "layer_"]
    np.testing.assert_array_equal(module(torch.ones(1, 2))[0].detach(), [[17, 17]])


def test_a_stored_tensor_is_a_copy(assembly):
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    node = assembly.buffer("stored", array)
    array[:] = 0
    assert assembly.shape(node) == [3, 2]
    (found,) = made(assembly, node)()
    assert found.is_contiguous()
    assert found.tolist() == [[0, 3], [1, 4], [2, 5]]


def test_the_batch_is_that_of_the_samples_that_are_run(assembly):
    fixed = assembly.input("fixed", (3,), "float32")
    x = assembly.input("x", (None, 6), "float32")
    sizes = [assembly.batch(Batch()), assembly.batch(Batch(2)), assembly.batch(Batch())]
    halves = assembly.method("halves", "reshape", x, sizes[1], 3)
    module = made(assembly, halves, fixed, *sizes)
    for count in (1, 4):
        found = module(torch.zeros(3), torch.zeros(count, 6))
        assert found[0].shape == (2 * count, 3)
        assert found[2:] == (count, 2 * count, count)
    assert len([node for node in module.graph.nodes if node.target == "size"]) == 1
