from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from bitpick.conversion import onnx_passes as module


def model(nodes, weights, input_shape, output_shape, opset=17, stored_as_inputs=()):
    """A graph from `x` to `y`."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, input_shape)]
    inputs += [helper.make_tensor_value_info(n, TensorProto.FLOAT, weights[n].shape) for n in stored_as_inputs]
    graph = helper.make_graph(
        nodes,
        "g",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output_shape)],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def test_weights_leave_the_inputs():
    found = model(
        [helper.make_node("Add", ["x", "w"], ["y"])], {"w": np.ones(3, np.float32)}, ["n", 3], ["n", 3], 17, ["w"]
    )
    module.drop_stored_inputs(found)
    assert [value.name for value in found.graph.input] == ["x"]
    onnx.checker.check_model(found)


@pytest.mark.parametrize("target", [[1, 6], [1, -1], [1, 3, 2], [1, 3, -1]])
def test_a_fixed_batch_becomes_free_also_in_reshapes(target):
    shape = np.array(target)
    size = [6 if s == -1 and len(target) == 2 else 2 if s == -1 else s for s in target]
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Reshape", ["r", "s"], ["y"])]
    found = model(nodes, {"s": shape}, [1, 2, 3], size)
    before = copy.deepcopy(found)
    module.free_batch(found)
    onnx.checker.check_model(found, full_check=True)
    assert found.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    x = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    together = ReferenceEvaluator(found).run(None, {"x": x})[0]
    alone = [ReferenceEvaluator(before).run(None, {"x": x[i : i + 1]})[0] for i in range(4)]
    assert np.array_equal(together, np.concatenate(alone))


def test_an_open_batch_gets_its_name_and_nothing_else_changes():
    nodes = [helper.make_node("Reshape", ["x", "s"], ["y"])]
    found = model(nodes, {"s": np.array([-1, 1, 6])}, [None, 6], [None, 1, 6])
    module.free_batch(found)
    assert onnx.numpy_helper.to_array(found.graph.initializer[0]).tolist() == [-1, 1, 6]


def test_sizes_that_the_data_fix_are_fixed_and_the_batch_stays_free():
    found = model(
        [helper.make_node("Add", ["x", "w"], ["y"])], {"w": np.ones(1, np.float32)}, ["n", 3, "h", "w_"], None
    )
    module.fix_sizes(found, [(3, 8, 10)])
    first, *rest = found.graph.input[0].type.tensor_type.shape.dim
    assert first.dim_param == "n"
    assert [dim.dim_value for dim in rest] == [3, 8, 10]
    inferred = onnx.shape_inference.infer_shapes(found).graph.output[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in inferred] == [0, 3, 8, 10]


def test_a_reshape_of_unknown_rank_is_left_alone():
    nodes = [
        helper.make_node("Compress", ["s", "c"], ["t"], axis=0),
        helper.make_node("Reshape", ["x", "t"], ["y"]),
    ]
    found = model(nodes, {"s": np.array([9, -1, 6]), "c": np.array([False, True, True])}, ["n", 2, 3], None)
    module.fix_reshapes(found)
    assert found.graph.node[1].input[1] == "t"


def test_what_nobody_reads_goes_with_its_weights():
    nodes = [
        helper.make_node("Add", ["x", "b"], ["dead"]),
        helper.make_node("Mul", ["x", "a"], ["y"]),
        helper.make_node("Relu", ["dead"], ["deader"]),
    ]
    weights = {"b": np.ones(3, np.float32), "a": np.full(3, 2, np.float32)}
    found = model(nodes, weights, ["n", 3], ["n", 3])
    module.drop_dead(found)
    assert [node.op_type for node in found.graph.node] == ["Mul"]
    assert [i.name for i in found.graph.initializer] == ["a"]


def test_what_is_no_onnx_operator_is_spelt_out():
    from scipy.special import erfc

    found = model([helper.make_node("Erfc", ["x"], ["y"], "gelu/Erfc")], {}, ["n", 3], ["n", 3])
    module.spell_out_erfc(found)
    onnx.checker.check_model(found)
    x = np.linspace(-3, 3, 12, dtype=np.float32).reshape(4, 3)
    np.testing.assert_allclose(ReferenceEvaluator(found).run(None, {"x": x})[0], erfc(x), rtol=1e-4, atol=1e-6)


def test_a_reshape_is_the_same_whether_its_target_was_stored_or_computed():
    """tf2onnx gives either for one model, and both must be one clean graph."""
    whole = {"rest": np.array([-1, 6]), "one": np.array([6]), "zero": np.array([0]), "first": np.array([1])}
    reshape = helper.make_node("Reshape", ["x", "rest"], ["y"], "r", allowzero=0)
    stored = model([reshape], {"rest": whole["rest"]}, ["n", 2, 3], ["n", 6])
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Slice", ["shape", "zero", "first"], ["batch"]),
        helper.make_node("Concat", ["batch", "one"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"], "r", allowzero=0),
    ]
    computed = model(nodes, {k: whole[k] for k in ("one", "zero", "first")}, ["n", 2, 3], ["n", 6])
    found = []
    for each in (stored, computed):
        module.fix_reshapes(each)
        node = each.graph.node[-1]
        target = next(i for i in each.graph.initializer if i.name == node.input[1])
        found.append((list(node.attribute), onnx.numpy_helper.to_array(target).tolist()))
    assert found[0] == found[1] == ([], [-1, 6])


def test_stored_tensors_and_inputs_that_are_outputs_get_a_node():
    found = model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": np.eye(3, dtype=np.float32)}, ["n", 3], ["n", 3]
    )
    found.graph.output.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 3]))
    found.graph.output.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3]))
    module.name_outputs(found)
    onnx.checker.check_model(found, full_check=True)
    assert [value.name for value in found.graph.output] == ["y", "w", "x.output"]
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for each, expected in zip(ReferenceEvaluator(found).run(None, {"x": x}), (x, np.eye(3), x), strict=True):
        assert np.array_equal(each, expected)
    before = found.SerializeToString()
    module.name_outputs(found)
    assert found.SerializeToString() == before


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [(1, 2), (2,), (1,), (), (1, 1)])
def test_a_gemm_has_a_bias_of_one_axis(bias, transposed):
    weights = {"w": np.ones((2, 3) if transposed else (3, 2), np.float32), "b": np.full(bias, 5, np.float32)}
    found = model([helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=transposed)], weights, ["n", 3], ["n", 2])
    module.flatten_biases(found)
    stored = {each.name: each.dims for each in found.graph.initializer}
    assert list(stored[found.graph.node[0].input[2]]) == [2]
    assert np.array_equal(
        ReferenceEvaluator(found).run(None, {"x": np.ones((4, 3), np.float32)})[0], np.full((4, 2), 8)
    )


@pytest.mark.parametrize("bias", [(4, 1), (4, 2)])
def test_a_bias_for_each_row_is_added_behind_the_gemm(bias):
    weights = {"w": np.ones((3, 2), np.float32), "b": np.arange(np.prod(bias), dtype=np.float32).reshape(bias)}
    found = model([helper.make_node("Gemm", ["x", "w", "b"], ["y"], "g", beta=0.5)], weights, [4, 3], [4, 2])
    x = np.ones((4, 3), np.float32)
    (expected,) = ReferenceEvaluator(found).run(None, {"x": x})
    module.flatten_biases(found)
    onnx.checker.check_model(found, full_check=True)
    assert [node.op_type for node in found.graph.node] == ["Gemm", "Add"]
    assert np.array_equal(ReferenceEvaluator(found).run(None, {"x": x})[0], expected)


def test_nodes_with_subgraphs_are_sorted_too():
    end = [helper.make_tensor_value_info("r", TensorProto.FLOAT, ["n", 3])]
    inner = [helper.make_node("Relu", ["s"], ["r"]), helper.make_node("Neg", ["a"], ["s"])]
    other = helper.make_graph([helper.make_node("Identity", ["a"], ["r"])], "else", [], end)
    nodes = [
        helper.make_node("If", ["c"], ["y"], then_branch=helper.make_graph(inner, "then", [], end), else_branch=other),
        helper.make_node("Abs", ["x"], ["a"]),
        helper.make_node("Less", ["m", "zero"], ["c"]),
        helper.make_node("ReduceMean", ["x"], ["m"], keepdims=0),
    ]
    found = model(nodes, {"zero": np.float32(0)}, ["n", 3], ["n", 3])
    module.sort_nodes(found)
    onnx.checker.check_model(found, full_check=True)
    assert found.graph.node[-1].op_type == "If"


def test_a_cycle_stays_for_the_checker():
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
    found = model([*nodes, helper.make_node("Relu", ["a"], ["y"])], {}, ["n", 3], ["n", 3])
    module.sort_nodes(found)
    assert [node.op_type for node in found.graph.node] == ["Add", "Relu", "Relu"]


def test_what_an_exporter_wrote_as_minus_one_is_free():
    found = model([helper.make_node("Relu", ["x"], ["y"])], {}, [-1, 3], [0, 3])
    module.free_dims(found)
    dims = [end.type.tensor_type.shape.dim[0] for end in (*found.graph.input, *found.graph.output)]
    assert not any(dim.HasField("dim_value") for dim in dims)
