from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bitpick.conversion.onnx_trial import Trial

RNG = np.random.default_rng(0)
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def model(nodes, inputs, outputs, **stored):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, *end) for name, end in inputs.items()],
        [helper.make_tensor_value_info(name, *end) for name, end in outputs.items()],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def node(kind, source, sink, **attributes):
    return helper.make_node(kind, source.split(), sink.split(), sink, **attributes)


def doubled(*shape, kind=FLOAT):
    """A model that adds its input to itself."""
    return model([node("Add", "x x", "y")], {"x": (kind, list(shape))}, {"y": (kind, list(shape))})


def test_samples_go_along_the_axis_of_the_batch_and_start_again_at_the_end():
    samples = RNG.normal(size=(3, 5, 2)).astype(np.float32)
    trial = Trial(doubled(5, "n", 2), [samples])
    assert trial.axes == [1]
    (found,) = trial.run([1, 2, 3, 4])
    np.testing.assert_array_equal(found, 2 * np.moveaxis(samples[[1, 2, 0, 1]], 0, 1))


def test_an_input_without_a_batch_gets_one_sample_in_the_type_that_it_takes():
    trial = Trial(doubled(2, 3, kind=INT64), [np.arange(12.0).reshape(2, 2, 3)])
    assert trial.axes == [None]
    (found,) = trial.run([1])
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, 2 * np.arange(6, 12).reshape(2, 3))


def test_samples_tell_the_batch_where_the_file_tells_another_axis():
    samples = RNG.normal(size=(4, 3)).astype(np.float32)
    assert Trial(doubled("a", "b"), [samples]).axes == [0]
    assert Trial(doubled(3, 4), [samples]).axes == [1]


def test_samples_of_another_model_are_none():
    trial = Trial(doubled("n", 7, 7), [RNG.normal(size=(4, 3, 3)).astype(np.float32)])
    assert trial.samples is None
    (found,) = trial.run([0, 1])
    assert found.shape == (2, 7, 7)


@pytest.mark.parametrize(("kind", "zero"), [(FLOAT, False), (INT64, True)])
def test_without_samples_there_are_three_made_up_ones_zero_for_integers(kind, zero):
    first, fourth, second = (Trial(doubled("n", 4, kind=kind), None).run([place])[0] for place in (0, 3, 1))
    np.testing.assert_array_equal(first, fourth)
    assert np.array_equal(first, second) is zero


def test_a_free_size_is_tried_until_one_is_large_enough():
    nodes = [node("Conv", "x w", "y")]
    weight = np.ones((1, 1, 40), np.float32)
    needs = model(nodes, {"x": (FLOAT, ["n", 1, "length"])}, {"y": (FLOAT, ["n", 1, "rest"])}, w=weight)
    (found,) = Trial(needs, None).run([0, 1])
    assert found.shape == (2, 1, 128 - 39)


def test_what_the_runtime_refuses_has_no_outputs_and_a_reason():
    table = model(
        [node("Gather", "table x", "y")],
        {"x": (INT64, ["n"])},
        {"y": (FLOAT, ["n"])},
        table=np.ones(3, np.float32),
    )
    trial = Trial(table, [np.array([1, 9])])
    assert trial.run([0]) is not None
    assert trial.refusal == ""
    assert trial.run([1]) is None
    assert "out of data bounds" in trial.refusal
    assert "\n" not in trial.refusal


def test_the_node_that_selects_rows_is_found_behind_an_output():
    nodes = [
        node("Relu", "x", "r"),
        node("NonZero", "r", "places"),
        node("Identity", "places", "y"),
        node("Add", "r r", "z"),
    ]
    found = model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (INT64, [2, "m"]), "z": (FLOAT, ["n", 4])})
    trial = Trial(found, None)
    selecting = trial.selecting_node(trial.outputs[0])
    assert selecting is not None
    assert selecting.op_type == "NonZero"
    assert trial.selecting_node(trial.outputs[1]) is None


def test_weights_that_a_file_lists_among_its_inputs_are_not_fed():
    ends = {"x": (FLOAT, ["n", 3]), "w": (FLOAT, [3, 2])}
    old = model([node("MatMul", "x w", "y")], ends, {"y": (FLOAT, ["n", 2])}, w=np.ones((3, 2), np.float32))
    trial = Trial(old, [np.ones((2, 3), np.float32)])
    assert [each.name for each in trial.inputs] == ["x"]
    np.testing.assert_array_equal(trial.run([0])[0], [[3, 3]])
