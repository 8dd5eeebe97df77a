from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from bitpick.conversion import canonical_onnx, onnx_file, onnx_precision
from bitpick.conversion import onnx_maker as module
from bitpick.errors import ConversionError, ModelError
from bitpick.models.onnx_traits import of_model
from bitpick.models.source import Source

RNG = np.random.default_rng(0)


def save(path, nodes, inputs, outputs, stored, elements=TensorProto.FLOAT):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, elements, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, elements, shape) for name, shape in outputs.items()],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def half(tmp_path):
    """A net in float16 throughout, with a cast and a constant in the middle."""
    constant = onnx.numpy_helper.from_array(np.float16(0.5))
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Constant", [], ["c"], value=constant),
        helper.make_node("Mul", ["a", "c"], ["b"]),
        helper.make_node("Cast", ["b"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Relu", ["f"], ["r"]),
        helper.make_node("Cast", ["r"], ["y"], to=TensorProto.FLOAT16),
    ]
    stored = {"w": RNG.normal(size=(6, 3)).astype(np.float16)}
    return save(tmp_path / "half.onnx", nodes, {"x": ["n", 6]}, {"y": ["n", 3]}, stored, TensorProto.FLOAT16)


def made(path, tmp_path):
    source = Source(str(path))
    maker = source.maker()
    assert maker is not None
    module.make(str(tmp_path / "made.onnx"), **maker.options)
    return tmp_path / "made.onnx"


def test_half_precision_becomes_float32(half, tmp_path):
    path = made(half, tmp_path)
    assert of_model(onnx.load(path)).floats == ()
    x = RNG.normal(size=(5, 6)).astype(np.float16)
    (before,) = ReferenceEvaluator(str(half)).run(None, {"x": x})
    canonical_onnx.convert(str(path), str(tmp_path / "clean.onnx"))
    (after,) = ReferenceEvaluator(str(tmp_path / "clean.onnx")).run(None, {"x": x.astype(np.float32)})
    assert after.dtype == np.float32
    np.testing.assert_allclose(after, before.astype(np.float32), atol=1e-2)


def test_a_model_without_a_batch_axis_gets_one(tmp_path):
    nodes = [
        helper.make_node("Unsqueeze", ["x", "zero"], ["u"]),
        helper.make_node("Conv", ["u", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Reshape", ["p", "shape"], ["y"]),
    ]
    stored = {
        "zero": np.array([0]),
        "w": RNG.normal(size=(2, 3, 3, 3)).astype(np.float32),
        "shape": np.array([2]),
    }
    path = save(tmp_path / "one.onnx", nodes, {"x": [3, 8, 8]}, {"y": [2]}, stored)
    clean = tmp_path / "clean.onnx"
    canonical_onnx.convert(str(made(path, tmp_path)), str(clean))
    x = RNG.normal(size=(3, 8, 8)).astype(np.float32)
    (before,) = ReferenceEvaluator(str(path)).run(None, {"x": x})
    (after,) = ReferenceEvaluator(str(clean)).run(None, {"x": x[None]})
    np.testing.assert_allclose(after, before[None], atol=1e-5)


def test_a_rewrite_that_changes_the_model_is_an_error(half, tmp_path, monkeypatch):
    right = onnx_precision.to_float32

    def wrong(model):
        right(model)
        model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.zeros((6, 3), np.float32), "w"))

    monkeypatch.setattr(module.onnx_precision, "to_float32", wrong)
    with pytest.raises(
        ConversionError, match=r"reading half\.onnx in float32, with its batch first, changed the model"
    ):
        made(half, tmp_path)


def test_a_model_that_needs_no_change_is_copied_byte_for_byte(tmp_path):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = save(
        tmp_path / "plain.onnx", nodes, {"x": ["batch", 3]}, {"y": ["batch", 2]}, {"w": np.ones((3, 2), np.float32)}
    )
    told = module.make(str(tmp_path / "made.onnx"), str(path))
    assert told.notes == ()
    assert (tmp_path / "made.onnx").read_bytes() == path.read_bytes()


def test_what_was_changed_is_told(half, tmp_path):
    (note,) = module.make(str(tmp_path / "made.onnx"), str(half)).notes
    assert "half.onnx stores numbers in float16: it is read as float32" in note


def test_a_quantized_model_keeps_its_floats_and_no_note_says_otherwise(tmp_path):
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["f"]),
        helper.make_node("Cast", ["f"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Mul", ["h", "w"], ["m"]),
        helper.make_node("Cast", ["m"], ["y"], to=TensorProto.FLOAT),
    ]
    stored = {"scale": np.float32(0.1), "zero": np.int8(0), "w": np.ones(3, np.float16)}
    path = save(tmp_path / "q.onnx", nodes, {"x": ["n", 3]}, {"y": ["n", 3]}, stored)
    assert (found := of_model(onnx.load(path))).quantized
    assert found.floats == ("float16",)
    told = module.make(str(tmp_path / "made.onnx"), str(path))
    assert told.notes == ()
    assert of_model(onnx.load(tmp_path / "made.onnx")).floats == ("float16",)


def test_nodes_out_of_order_are_sorted(tmp_path):
    nodes = [helper.make_node("Relu", ["a"], ["y"]), helper.make_node("MatMul", ["x", "w"], ["a"])]
    path = save(tmp_path / "m.onnx", nodes, {"x": ["n", 3]}, {"y": ["n", 2]}, {"w": np.ones((3, 2), np.float32)})
    assert [node.op_type for node in onnx.load(made(path, tmp_path)).graph.node] == ["MatMul", "Relu"]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (helper.make_tensor_type_proto(TensorProto.STRING, ["n"]), "y of m.onnx is a tensor of strings"),
        (
            helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, ["n"])),
            "y of m.onnx is a sequence",
        ),
    ],
)
def test_what_is_no_tensor_of_numbers_is_refused(tmp_path, kind, told):
    node = helper.make_node("SequenceConstruct" if "sequence" in told else "Cast", ["x"], ["y"], to=TensorProto.STRING)
    if "sequence" in told:
        del node.attribute[:]
    path = save(tmp_path / "m.onnx", [node], {"x": ["n"]}, {}, {})
    model = onnx.load(path)
    model.graph.output.append(helper.make_value_info("y", kind))
    onnx.save(model, path)
    with pytest.raises(ModelError, match=told):
        made(path, tmp_path)


def test_a_list_of_dictionaries_of_scores_is_read_as_the_scores(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["s"]),
        helper.make_node("ZipMap", ["s"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]),
    ]
    scores = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    kind = helper.make_sequence_type_proto(helper.make_map_type_proto(TensorProto.INT64, scores))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_value_info("y", kind)],
        [onnx.numpy_helper.from_array(np.ones((3, 2), np.float32), "w")],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), tmp_path / "m.onnx")
    (found,) = onnx_file.run(onnx.load(made(tmp_path / "m.onnx", tmp_path)), [np.ones((5, 3), np.float32)])
    assert np.array_equal(found, np.full((5, 2), 3, np.float32))
