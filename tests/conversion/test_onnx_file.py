from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from bitpick.conversion import canonical_onnx
from bitpick.conversion import onnx_file as module
from bitpick.errors import ModelError
from tests.conftest import linear_model
from tests.conversion.converter_graph import converter_graph


@pytest.fixture
def clean(tmp_path):
    raw = converter_graph(tmp_path / "raw.onnx")
    canonical_onnx.convert(str(raw), str(tmp_path / "clean.onnx"))
    return raw, tmp_path / "clean.onnx"


def test_parameters_are_all_floats_that_are_stored(clean):
    assert module.parameters(str(clean[1])) == 8 * 27 + 8 + 8 * 4 + 4


def test_parameters_inside_a_branch_count_too(tmp_path):
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[N, 3] x, bool c) => (float[N, 3] y) <float[3] s = {1, 2, 3}> {
            y = If (c) <
                then_branch = a () => (float[N, 3] t) <float[3, 1] w = {1, 1, 1}> { t = MatMul(x, w) },
                else_branch = b () => (float[N, 3] e) { e = Add(x, s) }
            >
        }
    """)
    onnx.save(model, tmp_path / "m.onnx")
    assert module.parameters(str(tmp_path / "m.onnx")) == 3 + 3


def test_describe(clean):
    told = module.describe(str(clean[0]))
    assert told == {"inputs": [("x", [None, 3, 6, 6], "float32")], "outputs": [("scores", [None, 4], "float32")]}


def test_what_is_no_onnx_is_refused(tmp_path):
    for content in (b"not a protobuf \xff\xff", b"\x08\x08"):
        (tmp_path / "m.onnx").write_bytes(content)
        with pytest.raises(ModelError, match="not a valid ONNX model"):
            module.load(tmp_path / "m.onnx")


def test_a_truncated_file_is_refused(tmp_path):
    whole = linear_model(tmp_path / "m.onnx").read_bytes()
    (tmp_path / "m.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="not a valid ONNX model"):
        module.load(tmp_path / "m.onnx")


def test_activations_are_the_tensors_of_one_run(clean):
    x = np.random.default_rng(1).random((1, 3, 6, 6), dtype=np.float32)
    found = module.activations(clean[1], [x])
    computed = [each.nbytes for each in module.intermediates(onnx.load(clean[1]), [x]).values()]
    assert found.total == x.nbytes + sum(computed)
    assert x.nbytes + max(computed) <= found.peak < found.total
    assert found.together == 1


def test_activations_of_a_graph_for_several_samples_are_told_for_one(clean, tmp_path):
    model = onnx.load(clean[1])
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(model, tmp_path / "four.onnx")
    x = np.random.default_rng(1).random((1, 3, 6, 6), dtype=np.float32)
    one, four = (module.activations(path, [x]) for path in (clean[1], tmp_path / "four.onnx"))
    assert (four.peak, four.total, four.together) == (one.peak, one.total, 4)


def test_intermediates_are_every_tensor_in_order(clean):
    x = np.random.default_rng(1).random((2, 3, 6, 6), dtype=np.float32)
    model = onnx.load(clean[1])
    found = module.intermediates(model, [x])
    assert list(found) == [name for node in onnx.load(clean[1]).graph.node for name in node.output]
    whole = ReferenceEvaluator(str(clean[1])).run(None, {"x": x})[0]
    np.testing.assert_allclose(found["scores"], whole, atol=1e-6)
