from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from bitpick.conversion import canonical_onnx
from bitpick.conversion import onnx_file as module
from bitpick.errors import ModelError
from tests.conftest import linear_model
from tests.conversion.test_canonical_onnx import converters_graph


@pytest.fixture
def clean(tmp_path):
    raw = converters_graph(tmp_path / "raw.onnx")
    canonical_onnx.convert(str(raw), str(tmp_path / "clean.onnx"))
    return raw, tmp_path / "clean.onnx"


def test_count(clean):
    # 3×3 from 3 to 8 channels gives 4×4; then 8 to 4.
    assert module.count(str(clean[1])) == {"parameters": 8 * 27 + 8 + 8 * 4 + 4, "macs": 8 * 27 * 16 + 8 * 4}


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


def test_intermediates_are_every_tensor_in_order(clean):
    x = np.random.default_rng(1).random((2, 3, 6, 6), dtype=np.float32)
    model = onnx.load(clean[1])
    found = module.intermediates(model, [x])
    assert list(found) == [name for node in onnx.load(clean[1]).graph.node for name in node.output]
    whole = ReferenceEvaluator(str(clean[1])).run(None, {"x": x})[0]
    np.testing.assert_allclose(found["scores"], whole, atol=1e-6)
