from __future__ import annotations

import numpy as np
import onnx
import pytest

from bitpick.conversion.pytorch_operators.sizes import Batch, packed
from bitpick.errors import OperatorError

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")

import torch

from bitpick.conversion.pytorch_operators.assembly import Assembly
from bitpick.conversion.pytorch_operators.context import Context

pytestmark = pytest.mark.frameworks
SHAPES = {"x": (None, 4, 6), "free": (None, None, 6), "row": (6,)}


def node_of(kind, inputs, output="y", **attributes):
    return onnx.helper.make_node(kind, inputs.split(" "), [output], f"the.{kind}", **attributes)


def context(inputs, known=None, readers=(), kind="Thing", **attributes):
    """A node on tensors of `SHAPES`, on stored ones, and on others that are left out."""
    assembly = Assembly()
    values = {name: assembly.input(name, shape, "float32") for name, shape in SHAPES.items()}
    node = node_of(kind, inputs, **attributes)
    known = {name: packed(each) if isinstance(each, list) else np.asarray(each) for name, each in (known or {}).items()}
    return Context(node, "the_node", 17, assembly, values, known, {"y": list(readers)})


def test_a_form_that_is_not_known_is_told_with_the_node_and_its_opset():
    error = context("x").unsupported("an odd shape")
    assert error.what == (
        "the node the.Thing (Thing, opset 17) has an odd shape, which the PyTorch importer does not support"
    )
    assert isinstance(error, OperatorError)


def test_attributes_are_words_and_numbers_and_have_defaults():
    found = context("x", mode=b"linear", alpha=0.5)
    assert found.attribute("mode") == "linear"
    assert found.attribute("alpha") == 0.5
    assert found.attribute("beta", 3) == 3


def test_an_input_can_be_left_out_at_the_end_or_between_others():
    found = context("x  w", {"w": np.ones(3)})
    assert [found.has(i) for i in range(4)] == [True, False, True, False]
    assert [found.is_stored(i) for i in range(4)] == [False, False, True, False]


def test_whether_an_output_is_read():
    assert context("x", readers=[None]).reads(0)
    assert not context("x").reads(0)
    assert not context("x", readers=[None]).reads(1)


def test_what_has_to_be_stored_is_refused_where_it_is_computed():
    found = context("x row n", {"n": [Batch(), 4]})
    for place in (1, 2):
        with pytest.raises(OperatorError, match=r"the.Thing .* has a computed list of axes"):
            found.integers(place, "list of axes")
    assert found.sizes(2, "target") == [Batch(), 4]
    with pytest.raises(OperatorError, match="has a computed target"):
        found.sizes(1, "target")


@pytest.mark.parametrize(
    ("inputs", "attributes", "axes"),
    [("x a", {}, [2, 0]), ("x", {"axes": [-1, 1]}, [2, 1]), ("x ", {"axes": [-3]}, [0]), ("x", {}, None)],
)
def test_axes_are_an_input_or_an_attribute_and_are_counted_from_the_first(inputs, attributes, axes):
    assert context(inputs, {"a": np.array([-1, 0])}, **attributes).axes() == axes


def test_an_axis_is_counted_from_the_first_and_may_have_a_default():
    assert context("x", axis=-2).axis() == 1
    assert context("x").axis(-1) == 2


def test_sizes_that_must_be_fixed():
    found = context("x free w", {"w": np.ones((2, 3))})
    assert found.shape(0) == [Batch(), 4, 6]
    assert found.fixed_shape(0, 1) == [4, 6]
    assert found.fixed_shape(2) == [2, 3]
    for place, first in ((0, 0), (1, 1)):
        with pytest.raises(OperatorError, match="has a free size in the shape of its input"):
            found.fixed_shape(place, first)


def test_a_stored_input_becomes_one_buffer():
    found = context("x w", {"w": np.ones((2, 3), np.float32)})
    assert found.value(1) is found.value(1)
    assert [name for name, _ in found.assembly.root.named_buffers()] == ["the_node_constant1"]
    assert found.dtype(1) == torch.float32
    with pytest.raises(OperatorError, match="has the input n, which is computed from the batch size"):
        context("x n", {"n": [Batch()]}).value(1)


@pytest.mark.parametrize(
    ("stored", "plain"),
    [(np.float32(2), 2.0), (np.full((1, 1, 1), 2), 2), (np.full((1, 1, 1, 1), 2), None), (np.array([2, 2]), None)],
)
def test_one_stored_number_is_a_plain_one_unless_it_adds_axes(stored, plain):
    found = context("x w", {"w": stored}).operand(1)
    assert (found if plain is not None else type(found)) == (torch.fx.Node if plain is None else plain)


def test_a_size_as_an_argument():
    found = context("x")
    assert found.dimension(7) == 7
    assert isinstance(found.dimension(Batch(2)), torch.fx.Node)


@pytest.mark.parametrize(
    ("readers", "stored", "absorbed"),
    [
        ([node_of("Add", "y b", "z")], np.arange(6), True),
        ([node_of("Add", "b y", "z")], np.arange(6).reshape(1, 1, 6), True),
        ([node_of("Add", "y b", "z")], np.arange(6).reshape(1, 1, 1, 6), False),  # it adds an axis
        ([node_of("Add", "y b", "z")], np.arange(12).reshape(2, 6), False),
        ([node_of("Add", "y b", "z")], np.arange(1), False),
        ([node_of("Add", "y x", "z")], np.arange(6), False),
        ([node_of("Add", "y y", "z")], np.arange(6), False),
        ([node_of("Mul", "y b", "z")], np.arange(6), False),
        ([node_of("Add", "y b", "z"), node_of("Relu", "y", "r")], np.arange(6), False),
        ([node_of("Add", "y b", "z"), None], np.arange(6), False),
        ([None], np.arange(6), False),
        ([], np.arange(6), False),
    ],
)
def test_a_bias_is_absorbed_where_adding_it_is_all_that_is_done(readers, stored, absorbed):
    found = context("x w", {"w": np.ones((6, 6)), "b": stored}, readers)
    bias = found.absorb_bias(6)
    assert (bias is not None) is (found.absorbed is not None) is absorbed
    if absorbed:
        assert bias.tolist() == list(range(6))
        assert found.absorbed is readers[0]
