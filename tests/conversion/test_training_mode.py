"""Models that were saved as they train are refused for that reason; the same ones in evaluation mode are not."""

from __future__ import annotations

import numpy as np
import pytest

from bitpick.errors import ModelError

pytestmark = pytest.mark.frameworks


@pytest.fixture(scope="module")
def folder(pool, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    np.savez(folder / "inputs.npz", np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32))
    pool.run("pytorch", "training_steps:write_torch", {"folder": folder})
    pool.run("keras", "training_steps:write_keras", {"folder": folder})
    return folder


def made(pool, folder, source, kind, out):
    payload = {"out": out, "source": source, "kind": kind}
    if kind != "PROGRAM":
        payload["inputs"] = folder / "inputs.npz"
    return pool.run("pytorch", "bitpick.conversion.exported_maker:make", payload)


@pytest.mark.parametrize(("name", "kind"), [("train.pt2", "PROGRAM"), ("train.pt", "TORCHSCRIPT")])
def test_a_program_in_training_mode_is_refused_with_its_operators(pool, folder, tmp_path, name, kind):
    with pytest.raises(ModelError, match=r"in training mode: .*batch_norm.*dropout(.|\n)*model\.eval\(\)"):
        made(pool, folder, folder / name, kind, tmp_path / "out.pt2")
    made(pool, folder, folder / name.replace("train", "eval"), kind, tmp_path / "out.pt2")


def test_a_module_is_put_into_evaluation_mode(pool, folder, tmp_path):
    made(pool, folder, "training_steps:build", "FACTORY", tmp_path / "out.pt2")


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("build_stubborn", r"in training mode: dropout(.|\n)*training=self\.training"),
        ("build_random", r"gives different outputs when it is run twice"),
    ],
)
def test_a_module_that_draws_in_evaluation_mode_is_refused(pool, folder, tmp_path, function, says):
    with pytest.raises(ModelError, match=says):
        made(pool, folder, f"training_steps:{function}", "FACTORY", tmp_path / "out.pt2")


def test_onnx_in_training_mode_is_refused_with_its_nodes(pool, folder, tmp_path):
    for function in ("canonical_onnx:convert", "onnx_maker:make"):
        for name in ("train", "eval"):
            payload = {"source": folder / f"{name}.onnx", "out": tmp_path / "out.onnx"}
            path = f"bitpick.conversion.{function}"
            if name == "eval":
                pool.run("onnxruntime", path, payload)
                continue
            with pytest.raises(ModelError, match=r"BatchNormalization .*Dropout (.|\n)*model\.eval\(\)"):
                pool.run("onnxruntime", path, payload)


def test_keras_layers_that_are_called_in_training_mode_are_refused(pool, folder, tmp_path):
    convert = "bitpick.conversion.onnx_from_keras:convert"
    with pytest.raises(ModelError, match=r"in training mode: BatchNormalization norm, Sequential inner"):
        pool.run("keras", convert, {"source": folder / "train.keras", "out": tmp_path / "out.onnx"})
    pool.run("keras", convert, {"source": folder / "eval.keras", "out": tmp_path / "out.onnx"})
