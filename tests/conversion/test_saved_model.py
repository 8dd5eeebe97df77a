"""SavedModels: which are opened, and by what."""

from __future__ import annotations

import shutil

import numpy as np
import onnx
import onnxruntime
import pytest

from bitpick.errors import ModelError
from tests.conversion.saved_model_steps import WEIGHT

pytestmark = pytest.mark.frameworks


@pytest.fixture(scope="module")
def folder(pool, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    np.save(folder / "x.npy", np.random.default_rng(1).normal(size=(4, 5)).astype(np.float32))
    pool.run("keras", "saved_model_steps:write", {"folder": folder})
    return folder


def run(pool, folder, name):
    return pool.run("keras", "saved_model_steps:run", {"source": folder / name, "inputs": folder / "x.npy"}).value


@pytest.mark.parametrize("name", ["trained", "unsigned", "mixed", "captured", "captured_unsigned"])
def test_it_is_opened_and_written_so_that_tensorflow_alone_opens_it(pool, folder, name):
    told = run(pool, folder, name)
    expected = np.load(folder / "x.npy") @ WEIGHT
    np.testing.assert_allclose(told["found"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(told["written"], told["found"])
    assert (told["weights"], told["names"]) == (WEIGHT.size, ["x"])


def test_mixed_precision_is_read_in_float32_and_said(pool, folder, tmp_path):
    convert = "bitpick.conversion.onnx_from_saved_model:convert"
    notes = {
        name: pool.run("keras", convert, {"source": folder / name, "out": tmp_path / "net.onnx"}).value
        for name in ("trained", "mixed")
    }
    assert notes["trained"] == []
    assert "compared in float32" in notes["mixed"][0]
    nodes = onnx.load(tmp_path / "net.onnx").graph.node
    assert not any(a.i == onnx.TensorProto.FLOAT16 for node in nodes for a in node.attribute if a.name == "to")


@pytest.mark.parametrize("name", ["captured", "captured_unsigned"])
def test_constants_that_a_function_captured_are_weights_and_no_inputs(pool, folder, tmp_path, name):
    x = np.load(folder / "x.npy")
    for hop, file in (("onnx", "net.onnx"), ("litert", "net.tflite")):
        convert = f"bitpick.conversion.{hop}_from_saved_model:convert"
        pool.run("keras", convert, {"source": folder / name, "out": tmp_path / file})
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    assert [each.name for each in session.get_inputs()] == ["x"]
    np.testing.assert_allclose(session.run(None, {"x": x})[0], x @ WEIGHT, rtol=1e-5, atol=1e-6)
    steps = "saved_model_steps:run_litert"
    found = pool.run("keras", steps, {"source": tmp_path / "net.tflite", "inputs": folder / "x.npy"}).value
    np.testing.assert_allclose(found, x @ WEIGHT, rtol=1e-5, atol=1e-6)


def test_of_several_signatures_none_is_guessed(pool, folder):
    with pytest.raises(ModelError, match="has the signatures fit, predict"):
        run(pool, folder, "two")


def test_only_a_folder_with_parts_missing_was_not_copied_whole(pool, folder):
    for name, damage in (("cut", lambda place: (place / "saved_model.pb").write_bytes(b"\x0a\xff")),
                         ("bare", lambda place: shutil.rmtree(place / "variables"))):  # fmt: skip
        shutil.copytree(folder / "trained", folder / name)
        damage(folder / name)
        with pytest.raises(ModelError, match="check that the folder was copied whole"):
            run(pool, folder, name)
