from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from bitpick.conversion import canonical_onnx as module
from bitpick.conversion import onnx_file
from bitpick.errors import ModelError, OperatorError
from tests.conftest import linear_model
from tests.conversion.converter_graph import converter_graph


@pytest.fixture
def clean(tmp_path):
    raw = converter_graph(tmp_path / "raw.onnx")
    module.convert(str(raw), str(tmp_path / "clean.onnx"))
    return raw, tmp_path / "clean.onnx"


def test_batch_norm_and_constants_are_folded_and_nothing_dead_is_left(clean):
    model = onnx.load(clean[1])
    assert [n.op_type for n in model.graph.node] == ["Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm", "Softmax"]
    onnx.checker.check_model(model, full_check=True)
    read = {name for node in model.graph.node for name in node.input}
    assert {i.name for i in model.graph.initializer} <= read


def test_it_computes_the_same_by_an_independent_evaluator(clean):
    x = np.random.default_rng(1).random((3, 3, 6, 6), dtype=np.float32)
    before, after = (ReferenceEvaluator(str(path)).run(None, {"x": x})[0] for path in clean)
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_names_are_short_and_say_which_layer(clean):
    model = onnx.load(clean[1])
    assert [n.name for n in model.graph.node] == ["conv", "act", "pool", "flat", "dense", "dense.softmax"]
    assert [i.name for i in model.graph.input] == ["x"]
    assert [o.name for o in model.graph.output] == ["scores"]
    assert {"conv.weight", "conv.bias", "dense.weight", "dense.bias"} == {i.name for i in model.graph.initializer}
    names = json.loads(clean[1].with_suffix(".names.json").read_text())
    assert names["act"] == "net/relu:0"


def test_the_batch_is_free_and_only_used_operator_sets_are_imported(clean):
    model = onnx.load(clean[1])
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [entry.domain for entry in model.opset_import] == [""]


def test_old_opsets_are_raised(tmp_path):
    raw = converter_graph(tmp_path / "raw.onnx", opset=11)
    module.convert(str(raw), str(tmp_path / "clean.onnx"))
    assert onnx_file.opset_of(onnx.load(tmp_path / "clean.onnx")) >= module.MINIMUM_OPSET


def test_traces_of_both_sides_share_names_and_values(clean, tmp_path):
    np.savez(tmp_path / "x.npz", np.random.default_rng(1).random((2, 3, 6, 6), dtype=np.float32))
    sides = [
        function(str(clean[0]), str(clean[1]), str(tmp_path / "x.npz"))
        for function in (module.trace_source, module.trace_target)
    ]
    shared = [name for name in sides[1] if name in sides[0]]
    assert {"act", "pool", "flat", "scores"} <= set(shared)
    for name in shared:
        np.testing.assert_allclose(sides[0][name], sides[1][name], atol=1e-5)


def test_a_quantized_model_is_refused(tmp_path):
    model = onnx.load(linear_model(tmp_path / "m.onnx"))
    model.graph.node.insert(0, helper.make_node("QuantizeLinear", ["image", "s", "z"], ["q"], "quantize"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(1), "s"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.uint8(0), "z"))
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="is quantized already: quantize"):
        module.convert(str(tmp_path / "m.onnx"), str(tmp_path / "out.onnx"))


def test_an_operator_that_the_runtime_does_not_know_is_named(tmp_path):
    model = onnx.load(linear_model(tmp_path / "m.onnx"))
    model.graph.node[0].op_type, model.graph.node[0].domain = "Warp", "my.ops"
    model.opset_import.append(helper.make_opsetid("my.ops", 1))
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(OperatorError, match="Warp"):
        module.convert(str(tmp_path / "m.onnx"), str(tmp_path / "out.onnx"))


def test_what_a_subgraph_reads_is_kept_and_renamed(tmp_path):
    """An If whose branches read tensors of the graph around it."""
    x = np.random.default_rng(1).random((3, 4), dtype=np.float32)
    branch = {
        name: helper.make_graph(
            [helper.make_node(op, ["net/a/out:0", "net/w:0"], [f"{name}_out"], f"net/{name}/op")],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)],
        )
        for name, op in (("then", "Add"), ("otherwise", "Mul"))
    }
    nodes = [
        helper.make_node("Relu", ["x"], ["net/a/out:0"], "net/a/Relu"),
        helper.make_node("ReduceSum", ["net/a/out:0"], ["net/sum:0"], "net/sum/Sum", keepdims=0),
        helper.make_node("Greater", ["net/sum:0", "net/limit:0"], ["net/c:0"], "net/c/Greater"),
        helper.make_node(
            "If", ["net/c:0"], ["y"], "net/if/If", then_branch=branch["then"], else_branch=branch["otherwise"]
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [
            onnx.numpy_helper.from_array(np.arange(4, dtype=np.float32), "net/w:0"),
            onnx.numpy_helper.from_array(np.float32(3), "net/limit:0"),
        ],
    )
    raw, clean = tmp_path / "raw.onnx", tmp_path / "clean.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), raw)
    module.convert(str(raw), str(clean))
    for sample in (x, x / 100):
        before, after = (ReferenceEvaluator(str(path)).run(None, {"x": sample})[0] for path in (raw, clean))
        np.testing.assert_allclose(after, before, atol=1e-6)


def test_shape_arithmetic_before_a_reshape_is_folded(tmp_path):
    """What tf2onnx now and then writes for Keras's Flatten behind a pooling: the target is computed from the shape."""

    def ints(name, *values):
        return onnx.numpy_helper.from_array(np.array(values, np.int64), name)

    nodes = [
        helper.make_node("Relu", ["x"], ["r"], "net/relu/Relu"),
        helper.make_node("Shape", ["r"], ["s0"], "Shape__138"),
        helper.make_node("Gather", ["s0", "order"], ["s1"], "Gather__141"),
        helper.make_node("Cast", ["s1"], ["s2"], "net/flatten/Shape__46", to=TensorProto.INT32),
        helper.make_node("Slice", ["s2", "zero", "one", "zero"], ["s3"], "net/flatten/strided_slice"),
        helper.make_node("Concat", ["s3", "rest"], ["s4"], "net/flatten/Concat__56", axis=0),
        helper.make_node("Cast", ["s4"], ["s5"], "net/flatten/Reshape__57", to=TensorProto.INT64),
        helper.make_node("Reshape", ["r", "s5"], ["y"], "net/flatten/Reshape"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8, 1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8])],
        [
            ints("order", 0, 2, 3, 1),
            ints("zero", 0),
            ints("one", 1),
            onnx.numpy_helper.from_array(np.array([8], np.int32), "rest"),
        ],
    )
    raw, clean = tmp_path / "raw.onnx", tmp_path / "clean.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), raw)
    module.convert(str(raw), str(clean))
    model = onnx.load(clean)
    assert [node.op_type for node in model.graph.node] == ["Relu", "Reshape"]
    assert onnx.numpy_helper.to_array(model.graph.initializer[0]).tolist() == [-1, 8]
    for count in (1, 3):
        x = np.random.default_rng(1).random((count, 8, 1, 1), dtype=np.float32)
        before, after = (ReferenceEvaluator(str(path)).run(None, {"x": x})[0] for path in (raw, clean))
        assert np.array_equal(before, after)


def test_the_same_model_gives_the_same_file(tmp_path):
    raw = converter_graph(tmp_path / "raw.onnx")
    for name in ("a.onnx", "b.onnx"):
        module.convert(str(raw), str(tmp_path / name))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def classifier(path, batch, target):
    """A convolution, a reshape to a constant shape, a matrix product."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "net/conv/Conv"),
        helper.make_node("Reshape", ["c", "shape"], ["r"], "net/flat/Reshape"),
        helper.make_node("MatMul", ["r", "d"], ["m"], "net/dense/MatMul"),
        helper.make_node("Softmax", ["m"], ["y"], "net/soft/Softmax"),
    ]
    stored = {
        "w": rng.normal(size=(2, 3, 3, 3)).astype(np.float32),
        "shape": np.array(target),
        "d": rng.normal(size=(8, 4)).astype(np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 4])],
        [onnx.numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(("batch", "target"), [(1, [1, 8]), (1, [1, -1]), (2, [2, 8])])
def test_a_fixed_batch_is_freed(tmp_path, batch, target):
    raw = classifier(tmp_path / "raw.onnx", batch, target)
    module.convert(str(raw), str(tmp_path / "clean.onnx"))
    x = np.random.default_rng(1).normal(size=(5 * batch, 3, 4, 4)).astype(np.float32)
    parts = [ReferenceEvaluator(str(raw)).run(None, {"x": x[i : i + batch]})[0] for i in range(0, len(x), batch)]
    (whole,) = ReferenceEvaluator(str(tmp_path / "clean.onnx")).run(None, {"x": x})
    np.testing.assert_allclose(whole, np.concatenate(parts), atol=1e-5)


def test_a_batch_that_the_graph_depends_on_stays(tmp_path):
    """Reshape to a constant in the middle of an axis: it fails at any other size."""
    raw = classifier(tmp_path / "raw.onnx", 2, [2, 8])
    model = onnx.load(raw)
    first = helper.make_node("Reshape", ["x", "mixed"], ["x1"])
    second = helper.make_node("Reshape", ["x1", "back"], ["x2"])
    model.graph.node.insert(0, second)
    model.graph.node.insert(0, first)
    model.graph.node[2].input[0] = "x2"
    for name, shape in (("mixed", [3, 2, 16]), ("back", [2, 3, 4, 4])):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(shape), name))
    onnx.save(model, raw)
    module.convert(str(raw), str(tmp_path / "clean.onnx"))
    assert onnx.load(tmp_path / "clean.onnx").graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2


@pytest.mark.parametrize("keepdims", [0, 1])
def test_a_mean_over_a_picture_is_a_pooling(tmp_path, keepdims):
    raw, clean = tmp_path / "raw.onnx", tmp_path / "clean.onnx"
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["x"], ["y"], "net/mean/ReduceMean", axes=[-1, 2], keepdims=keepdims)],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, 1, 1] if keepdims else ["n", 3])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), raw)
    module.convert(str(raw), str(clean))
    assert onnx.load(clean).graph.node[0].op_type == "GlobalAveragePool"
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 4)).astype(np.float32)
    before, after = (ReferenceEvaluator(str(path)).run(None, {"x": x})[0] for path in (raw, clean))
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_an_opset_that_cannot_be_raised_is_named(tmp_path, monkeypatch):
    def refuse(model, opset):
        raise RuntimeError(f"no adapter to {opset}")

    monkeypatch.setattr(onnx.version_converter, "convert_version", refuse)
    raw = converter_graph(tmp_path / "raw.onnx", opset=11)
    with pytest.raises(OperatorError, match="opset 11 and cannot be brought to opset 13: no adapter"):
        module.convert(str(raw), str(tmp_path / "clean.onnx"))


def test_weights_beside_the_file_are_read(tmp_path):
    raw = converter_graph(tmp_path / "raw.onnx")
    expected = ReferenceEvaluator(str(raw))
    onnx.save(
        onnx.load(raw), tmp_path / "out.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    module.convert(str(tmp_path / "out.onnx"), str(tmp_path / "clean.onnx"))
    x = np.random.default_rng(1).random((3, 3, 6, 6), dtype=np.float32)
    after = ReferenceEvaluator(str(tmp_path / "clean.onnx")).run(None, {"x": x})[0]
    np.testing.assert_allclose(after, expected.run(None, {"x": x})[0], atol=1e-6)


def test_several_inputs_and_outputs_are_kept_in_order(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "tokens"], ["e"]), helper.make_node("Add", ["e", "x"], ["s"]),
         helper.make_node("ReduceSum", ["s", "axis"], ["z"], keepdims=0), helper.make_node("Relu", ["s"], ["a"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, 3]),
         helper.make_tensor_value_info("tokens", TensorProto.INT64, ["n", 2])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 3]),
         helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n", 2, 3])],
        [onnx.numpy_helper.from_array(np.arange(15, dtype=np.float32).reshape(5, 3), "table"),
         onnx.numpy_helper.from_array(np.array([1]), "axis")],
    )  # fmt: skip
    raw, clean = tmp_path / "raw.onnx", tmp_path / "clean.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), raw)
    module.convert(str(raw), str(clean))
    found = onnx.load(clean).graph
    assert [v.name for v in found.input] == ["x", "tokens"]
    assert [v.name for v in found.output] == ["z", "a"]
    fed = {"x": np.ones((2, 2, 3), np.float32), "tokens": np.array([[1, 4], [0, 2]])}
    for before, after in zip(*(ReferenceEvaluator(str(path)).run(None, fed) for path in (raw, clean)), strict=True):
        np.testing.assert_allclose(after, before)


def test_operators_of_another_set_alone_keep_the_standard_one_beside_it(tmp_path):
    """ONNX Runtime's quantizers look for the version of the standard set, whatever there is of it."""
    node = helper.make_node("Normalizer", ["x"], ["y"], domain="ai.onnx.ml", norm="L2")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y")]
    graph = helper.make_graph([node], "net", ends[:1], ends[1:])
    sets = [helper.make_opsetid("ai.onnx.ml", 3)]
    for given_ in (sets, [*sets, helper.make_opsetid("", 15)]):
        onnx.save(helper.make_model(graph, opset_imports=given_, ir_version=8), tmp_path / "raw.onnx")
        module.convert(str(tmp_path / "raw.onnx"), str(tmp_path / "clean.onnx"))
        assert onnx_file.opset_of(onnx_file.load(tmp_path / "clean.onnx")) >= module.MINIMUM_OPSET
