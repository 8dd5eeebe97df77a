from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from bitpick.models.source import Source
from tests.conversion.formats import check_clean_graph, check_free_sizes_in_onnx, clean, run
from tests.conversion.saved_model_steps import WEIGHT

pytestmark = pytest.mark.frameworks


@pytest.mark.parametrize("name", ["saved_model"])
def test_the_clean_graph_computes_what_the_model_does(pool, files, tmp_path, name):
    check_clean_graph(pool, files, tmp_path, name)


@pytest.mark.parametrize("name", ["any_saved"])
def test_free_sizes_stay_free(pool, free, tmp_path, name):
    check_free_sizes_in_onnx(pool, free, tmp_path, name)


def test_inputs_of_a_saved_model_are_in_the_order_of_their_names(pool, files, tmp_path):
    a, b = np.array([[3.0, 2, 1]], np.float32), np.array([[1.0, 1, 5]], np.float32)
    found = clean(pool, Source(str(files / "two_saved"), True), files / "inputs.npz", tmp_path)
    assert [value.name for value in onnx.load(found).graph.input] == ["a_second", "b_first"]
    for name, array in (("a", a), ("b", b)):
        np.save(tmp_path / f"{name}.npy", array)
    payload = {
        "source": files / "two_saved",
        "inputs": [tmp_path / "b.npy", tmp_path / "a.npy"],
        "out": tmp_path / "out.npz",
    }
    pool.run("keras", "format_steps:run_saved_model", payload)
    with np.load(tmp_path / "out.npz") as expected:
        for mine, name in zip(run(found, b, a), expected.files, strict=True):
            np.testing.assert_allclose(mine, expected[name], atol=1e-6)


def test_mixed_precision_is_read_in_float32_and_said(pool, saved_models, tmp_path):
    convert = "bitpick.conversion.onnx_from_saved_model:convert"
    notes = {
        name: pool.run("keras", convert, {"source": saved_models / name, "out": tmp_path / "net.onnx"}).value
        for name in ("trained", "mixed")
    }
    assert notes["trained"] == []
    assert "compared in float32" in notes["mixed"][0]
    nodes = onnx.load(tmp_path / "net.onnx").graph.node
    assert not any(a.i == onnx.TensorProto.FLOAT16 for node in nodes for a in node.attribute if a.name == "to")


@pytest.mark.parametrize("name", ["captured", "captured_unsigned"])
def test_constants_that_a_function_captured_are_weights_and_no_inputs(pool, saved_models, tmp_path, name):
    x = np.load(saved_models / "x.npy")
    convert = "bitpick.conversion.onnx_from_saved_model:convert"
    pool.run("keras", convert, {"source": saved_models / name, "out": tmp_path / "net.onnx"})
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    assert [each.name for each in session.get_inputs()] == ["x"]
    np.testing.assert_allclose(session.run(None, {"x": x})[0], x @ WEIGHT, rtol=1e-5, atol=1e-6)
