from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from bitpick.engines.onnxruntime.scope import Scope, every_node, loop_invariants
from bitpick.measures import coverage
from bitpick.recipe import Recipe
from tests.engines.onnxruntime.graphs import random, read, totals

STATIC = Recipe.parse("onnxruntime:s8u8-per_channel-minmax")


def graph(nodes, inputs=(), outputs=(), **stored):
    """A graph of nodes that are written `Kind: inputs -> outputs`; its inputs and outputs are vectors."""
    made = []
    for text in nodes:
        kind, _, ends = text.partition(": ") if isinstance(text, str) else ("", "", "")
        taken, _, given = ends.partition(" -> ")
        made.append(helper.make_node(kind, taken.split(), given.split(), kind) if kind else text)
    ends = ([helper.make_tensor_value_info(n, TensorProto.FLOAT, [3]) for n in names] for names in (inputs, outputs))
    kept = [numpy_helper.from_array(np.asarray(values), name) for name, values in stored.items()]
    return helper.make_graph(made, "g", *ends, kept)


def scope(*nodes, outer=None, around=None, **stored):
    found = graph(nodes, **stored)
    return Scope(found, found, outer, around)


def test_nodes_inside_come_after_those_of_the_graph_around_them():
    inner = graph(["Relu: x -> r"], outputs=["r"])
    deep = graph([helper.make_node("If", ["c"], ["z"], "deep", then_branch=inner, else_branch=inner)])
    outer = graph([helper.make_node("Loop", ["n"], ["y"], "loop", body=deep), "Add: y y -> s"])
    assert [node.op_type for node in every_node(outer)] == ["Loop", "Add", "If", "Relu", "Relu"]


def test_a_loop_hands_on_what_comes_out_as_it_went_in():
    body = graph(
        ["Add: s s -> t", "Identity: w -> v", "Identity: v -> u", "Identity: c -> d"],
        ["i", "c", "s", "w", "k"],
        ["d", "t", "u", "k"],
    )
    loop = helper.make_node("Loop", ["trips", "", "x", "W", "K"], ["a", "b", "e"], body=body)
    assert loop_invariants(loop, body) == {"w": "W", "k": "K"}


def test_a_scan_hands_on_states_and_not_what_it_walks_over():
    body = graph(["Add: s e -> t", "Identity: w -> v"], ["w", "s", "e"], ["v", "t", "e"])
    scan = helper.make_node("Scan", ["W", "x", "steps"], ["a", "b", "y"], body=body, num_scan_inputs=1)
    assert loop_invariants(scan, body) == {"w": "W"}


def test_a_branch_takes_nothing():
    inner = graph(["Identity: x -> y"], outputs=["y"])
    assert loop_invariants(helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner), inner) == {}


def test_integers_are_found_with_their_scales_behind_what_only_rearranges_them():
    weights, scales = np.array([[127, -3], [5, -127]], np.int8), np.array([0.5, 2], np.float32)
    found = scope(
        "DequantizeLinear: w s z -> d",
        "Transpose: d -> t",
        "Add: x x -> a",
        w=weights,
        s=scales,
        z=np.zeros(2, np.int8),
    ).stored("t")
    assert (found.name, found.between) == ("w", ("Transpose", "DequantizeLinear"))
    assert (found.grid.dtype, found.grid.granularity, found.grid.symmetric, found.grid.bits) == (
        "s8", "per_channel", True, 8,
    )  # fmt: skip


def test_numbers_that_are_floats_have_their_own_grid():
    found = scope("Identity: w -> v", w=np.ones((2, 2), np.float16)).stored("v")
    assert (found.grid.dtype, found.grid.granularity) == ("float16", None)


@pytest.mark.parametrize("name", ["x", "computed", "indices", "nowhere"])
def test_what_is_computed_and_what_is_no_number_of_a_network_is_no_weight(name):
    found = scope("Relu: w -> computed", w=np.ones(3, np.float32), indices=np.arange(3))
    assert found.stored(name) is None


def test_a_graph_sees_what_those_around_it_store_and_make_and_they_not_what_it_does():
    constant = helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(np.float32([1, 2])))
    outer = scope("Transpose: w -> t", constant, w=np.ones((2, 3), np.float32))
    inner = scope("Identity: t -> i", outer=outer, v=np.ones(1, np.float32))
    assert inner.stored("i").name == "w"
    assert inner.stored("k").values.tolist() == [1, 2]
    assert (inner.stored_shape("w"), inner.stored_shape("x")) == ((2, 3), None)
    assert outer.stored("v") is None


def test_the_body_of_a_loop_has_the_weights_that_are_handed_to_it():
    body = graph(["Identity: c -> d", "MatMul: s w -> t"], ["i", "c", "s", "w"], ["d", "t", "w"])
    loop = helper.make_node("Loop", ["trips", "", "x", "W"], ["y", "same"], body=body)
    outer = scope(W=np.ones((3, 3), np.float32))
    inner = Scope(body, body, outer, loop)
    assert inner.stored("w").name == "W"
    assert inner.stored("s") is None


def test_an_operand_that_a_node_has_not_has_no_value():
    found = scope("MatMulInteger: a b za -> y", za=np.uint8(3))
    (node,) = found.graph.node
    assert [found.value(node, place) for place in (2, 3, None, 0)] == [3, None, None, None]


@pytest.mark.parametrize("direct", [True, False])
def test_weights_that_a_loop_hands_on_from_step_to_step_are_stored(tmp_path, direct):
    """As TensorFlow's converters write it: half of the weight, which is an input of the body, and its output again."""
    value, whole = helper.make_tensor_value_info, [3, 6]
    kept = "w" if direct else "v"
    nodes = [
        helper.make_node("Slice", ["w", "none", "half", "axis"], ["h"]),
        helper.make_node("MatMul", ["s", "h"], ["t"], "m"),
        helper.make_node("Identity", ["c"], ["d"]),
        *([] if direct else [helper.make_node("Identity", ["w"], ["v"])]),
    ]
    given = {"i": (TensorProto.INT64, []), "c": (TensorProto.BOOL, []), "s": (TensorProto.FLOAT, [1, 3])}
    inputs = [value(name, *each) for name, each in given.items()] + [value("w", TensorProto.FLOAT, whole)]
    outputs = [value("d", TensorProto.BOOL, []), value("t", TensorProto.FLOAT, [1, 3])]
    body = helper.make_graph(nodes, "body", inputs, [*outputs, value(kept, TensorProto.FLOAT, whole)])
    loop = helper.make_node("Loop", ["trips", "", "x", "W"], ["y", "unchanged"], "loop", body=body)
    stored = {"W": random(*whole), "trips": np.array(7)}
    stored |= {"none": np.array([0]), "half": np.array([3]), "axis": np.array([1])}
    found = read(tmp_path, [loop], {"x": random(1, 3)}, stored)
    assert totals(found) == (18, 7 * 9)
    assert "partly_float" in [flag.code for flag in coverage.flags(STATIC, found, "s8")]
