from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bitpick.conversion import onnx_batch as module
from bitpick.conversion import onnx_file
from bitpick.conversion.onnx_trial import Trial
from bitpick.errors import ModelError

RNG = np.random.default_rng(0)
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
W = RNG.normal(size=(4, 4)).astype(np.float32)


def model(nodes, inputs, outputs, opset=17, **stored):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, *end) for name, end in inputs.items()],
        [helper.make_tensor_value_info(name, *end) for name, end in outputs.items()],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )
    found = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(found)
    return found


def node(kind, source, sink, **attributes):
    return helper.make_node(kind, source.split(), sink.split(), sink, **attributes)


def state():
    """x (n, 4) beside a state (2, n, 4), of which the second step is added to it."""
    nodes = [
        node("Gather", "h one", "last", axis=0),
        node("MatMul", "x w", "a"),
        node("Add", "a last", "y"),
        node("Tanh", "h", "h2"),
    ]
    return model(
        nodes,
        {"x": (FLOAT, ["n", 4]), "h": (FLOAT, [2, "n", 4])},
        {"y": (FLOAT, ["n", 4]), "h2": (FLOAT, [2, "n", 4])},
        w=W,
        one=np.array(1),
    )


def scalar():
    nodes = [node("Cast", "k", "f", to=FLOAT), node("MatMul", "x w", "a"), node("Mul", "a f", "y")]
    return model(nodes, {"x": (FLOAT, ["n", 4]), "k": (INT64, [])}, {"y": (FLOAT, ["n", 4])}, w=W)


def rows():
    """One sample (1, 4) gives four numbers in a row."""
    nodes = [node("MatMul", "x w", "a"), node("Reshape", "a flat", "y")]
    return model(nodes, {"x": (FLOAT, [1, 4])}, {"y": (FLOAT, ["m"])}, w=W, flat=np.array([-1]))


def whole():
    """No batch at all: a matrix in, a vector out."""
    nodes = [node("MatMul", "x w", "a"), node("ReduceSum", "a zero", "y", keepdims=0)]
    return model(nodes, {"x": (FLOAT, [3, 4])}, {"y": (FLOAT, [4])}, w=W, zero=np.array([0]))


def constant():
    nodes = [node("MatMul", "x w", "y"), node("Identity", "w", "c")]
    return model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 4]), "c": (FLOAT, [4, 4])}, w=W)


def sequence_first():
    nodes = [node("MatMul", "x w", "a"), node("ReduceSum", "a zero", "y", keepdims=0)]
    return model(nodes, {"x": (FLOAT, [5, "n", 4])}, {"y": (FLOAT, ["n", 4])}, w=W, zero=np.array([0]))


def inner_size():
    """It says that its batch is free, and is not."""
    nodes = [node("MatMul", "x w", "a"), node("Reshape", "a shape", "y")]
    return model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 2, 2])}, w=W, shape=np.array([1, 2, 2]))


def branches():
    """What is done with each sample depends on the mean over all of them."""
    ends = [helper.make_tensor_value_info("r", FLOAT, ["n", 4])], [helper.make_tensor_value_info("s", FLOAT, ["n", 4])]
    then = helper.make_graph([node("Relu", "x", "r")], "then", [], ends[0])
    other = helper.make_graph([node("MatMul", "x w", "s")], "else", [], ends[1])
    nodes = [
        node("ReduceMean", "x", "m", keepdims=0),
        node("Greater", "m zero", "c"),
        helper.make_node("If", ["c"], ["y"], "if", then_branch=then, else_branch=other),
    ]
    return model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 4])}, w=W, zero=np.float32(0))


def normal(*shape):
    return RNG.normal(size=(4, *shape)).astype(np.float32)


X = normal(4)


@pytest.mark.parametrize(
    ("make", "samples", "inputs", "outputs", "size"),
    [
        (state, [X, normal(2, 4)], (0, 1), (0, 1), None),
        (state, None, (0, 1), (0, 1), None),
        (scalar, [X, np.full(4, 3)], (0, None), (0,), 1),
        (rows, [X], (0,), (None,), 1),
        (whole, [normal(3, 4)], (None,), (None,), 1),
        (whole, None, (None,), (None,), 1),
        (constant, [X], (0,), (0, None), 1),
        (sequence_first, [normal(5, 4)], (1,), (0,), None),
        (inner_size, [X], (0,), (0,), 1),
    ],
)
def test_the_batch_is_found_and_put_first(make, samples, inputs, outputs, size):
    original = make()
    axes = module.find(original, samples, "m.onnx")
    assert (axes.inputs, axes.outputs, axes.size) == (inputs, outputs, size)
    arranged = onnx.ModelProto()
    arranged.CopyFrom(original)
    module.arrange(arranged, axes)
    onnx.checker.check_model(arranged, full_check=True)
    trial = Trial(original, samples)
    count = size or 3
    for start in range(3):
        places = [start] if size else [0, 1, 2]
        expected = trial.run(places)
        found = Trial(arranged, samples).run(places)
        for axis, one, other in zip(outputs, expected, found, strict=True):
            assert other.shape[0] == count
            assert np.array_equal(one[None] if axis is None else np.moveaxis(one, axis, 0), other)
    leading = {
        value.type.tensor_type.shape.dim[0].dim_value for value in (*arranged.graph.input, *arranged.graph.output)
    }
    assert leading == {size or 0}


def test_samples_tell_a_batch_of_three_from_none():
    nodes = [node("MatMul", "x w", "y")]
    fixed = model(nodes, {"x": (FLOAT, [3, 4])}, {"y": (FLOAT, [3, 4])}, w=W)
    assert module.find(fixed, [X], "m").inputs == (0,)
    assert module.find(fixed, [X], "m").size == 3
    assert module.find(fixed, [normal(3, 4)], "m").inputs == (None,)


def test_a_branch_for_a_whole_batch_is_run_sample_by_sample():
    samples = np.array([[1, 2, 3, 4], [-9, -9, -9, -9], [1, 1, 1, 1]], np.float32)
    axes = module.find(branches(), [samples], "m")
    assert axes.branches
    assert axes.size == 1


def test_samples_that_all_take_one_branch_do_not_show_that_others_do():
    axes = module.find(branches(), [np.abs(X)], "m")
    assert axes.branches
    assert axes.size == 1


def test_rows_that_are_selected_are_refused_with_where_to_cut():
    nodes = [node("Greater", "x zero", "p"), node("NonZero", "p", "y")]
    found = model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (INT64, [2, "found"])}, zero=np.float32(0))
    with pytest.raises(
        ModelError, match="the output y of m does not have one row for each sample: NonZero y"
    ) as raised:
        module.find(found, [X], "m")
    assert "cut the graph before NonZero y" in raised.value.fix


def test_an_output_of_another_shape_for_each_sample_is_refused():
    nodes = [
        node("ReduceMax", "x", "top", keepdims=0),
        node("Cast", "top", "whole", to=INT64),
        node("Unsqueeze", "whole zero", "count"),
        node("Expand", "value count", "y"),
    ]
    found = model(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["m"])}, zero=np.array([0]), value=np.float32(1))
    samples = np.arange(16, dtype=np.float32).reshape(4, 4) + 1
    with pytest.raises(ModelError, match=r"its shape was \(4,\) and \(8,\)"):
        module.find(found, [samples], "m")


def test_an_input_for_several_samples_at_once_beside_one_of_a_single_sample_is_refused():
    nodes = [
        node("Cast", "k", "f", to=FLOAT),
        node("Mul", "x f", "a"),
        node("ReduceMean", "t", "m", keepdims=0),
        node("Add", "a m", "y"),
    ]
    ends = {"x": (FLOAT, ["n", 4]), "t": (FLOAT, [2, 4]), "k": (INT64, [])}
    found = model(nodes, ends, {"y": (FLOAT, ["n", 4])})
    with pytest.raises(ModelError, match="the input t of m has size 2 along axis 0") as raised:
        module.find(found, [X, X, np.full(4, 3)], "m")
    assert raised.value.expected == "an array of shape (2, 4) in each sample for t"
    assert module.find(found, [X, normal(2, 4), np.full(4, 3)], "m").inputs == (0, None, None)


def test_samples_that_the_model_does_not_take_are_refused_with_the_reason():
    nodes = [node("Gather", "table x", "y")]
    found = model(nodes, {"x": (INT64, ["n"])}, {"y": (FLOAT, ["n", 4])}, table=W)
    with pytest.raises(ModelError, match=r"cannot run m on a sample: .*out of data bounds") as raised:
        module.find(found, [np.full(4, 9)], "m")
    assert raised.value.expected == "x (n)"


def test_an_old_operator_set_moves_axes_too():
    nodes = [node("MatMul", "x w", "a"), node("Squeeze", "a", "y", axes=[0])]
    found = model(nodes, {"x": (FLOAT, [1, 4])}, {"y": (FLOAT, [4])}, opset=11, w=W)
    axes = module.find(found, [X], "m")
    module.arrange(found, axes)
    onnx.checker.check_model(found, full_check=True)
    assert onnx_file.run(found, [X[:1]])[0].shape == (1, 4)
