"""Keras models in mixed or half precision, read in float32."""

from __future__ import annotations

import numpy as np
import pytest

from bitpick.conversion import keras_precision

PRECISIONS = ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64"]


def test_policies_of_keras_2_and_3_and_dtypes_are_widened():
    config = {
        "layers": [
            {"class_name": "Dense", "config": {"dtype": {"class_name": "Policy", "config": {"name": "mixed_float16"}}}},
            {"config": {"dtype": {"class_name": "DTypePolicy", "config": {"name": "mixed_bfloat16"}}}},
            {"config": {"dtype": "float64", "name": "float16", "units": 3}},
            {"config": {"dtype": "int32"}, "name": "bfloat16"},
            {"config": {"dtype": {"config": {"default_policy": "float16", "policy_map": {}}}}},
        ]
    }
    assert keras_precision.widen(config) == {
        "layers": [
            {"class_name": "Dense", "config": {"dtype": {"class_name": "Policy", "config": {"name": "float32"}}}},
            {"config": {"dtype": {"class_name": "DTypePolicy", "config": {"name": "float32"}}}},
            {"config": {"dtype": "float32", "name": "float16", "units": 3}},
            {"config": {"dtype": "int32"}, "name": "bfloat16"},
            {"config": {"dtype": {"config": {"default_policy": "float32", "policy_map": {}}}}},
        ]
    }


def test_the_coarsest_of_several_precisions():
    assert keras_precision.coarsest(["float64"]) is np.float32
    assert keras_precision.coarsest(["float64", "mixed_float16"]) is np.float16
    assert keras_precision.coarsest(["float16", "mixed_bfloat16"]).__name__ == "bfloat16"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    path = tmp_path_factory.mktemp("inputs") / "x.npy"
    np.save(path, np.random.default_rng(0).normal(size=(8, 5, 4)).astype(np.float32))
    return path


def write(pool, inputs, folder, name, policy="mixed_float16"):
    """A file of that precision; beside it, in expected.npy, what Keras computes with it."""
    payload = {"policy": policy, "out": folder / name, "inputs": inputs, "expected": folder / "expected.npy"}
    pool.run("keras", "keras_precision_steps:write", payload)
    return folder / name


@pytest.mark.frameworks
# Keras itself cannot read what it writes in bfloat16 to HDF5.
@pytest.mark.parametrize(
    ("policy", "suffix"), [(p, s) for p in PRECISIONS for s in (".keras", ".h5") if (p, s) != ("bfloat16", ".h5")]
)
def test_a_model_of_any_precision_is_read_in_float32(pool, inputs, tmp_path, policy, suffix):
    source = write(pool, inputs, tmp_path, f"net{suffix}", policy)
    expected = tmp_path / "expected.npy"
    told = pool.run("keras", "keras_precision_steps:read", {"source": source, "inputs": inputs}).value
    assert (told["computes"], told["weights"], told["named"]) == (["float32"], ["float32"], sorted({policy}))
    exact = 2e-6 if policy == "float64" else 0.05
    assert np.abs(np.array(told["outputs"]) - np.load(expected)).max() < exact * np.abs(np.load(expected)).max()


@pytest.mark.frameworks
def test_the_conversion_says_so_and_the_keras_build_ships_what_was_read(pool, inputs, tmp_path):
    source = write(pool, inputs, tmp_path, "net.keras")
    notes = pool.run("keras", "bitpick.conversion.onnx_from_keras:convert",
                     {"source": source, "out": tmp_path / "net.onnx"}).value  # fmt: skip
    assert notes == ["the model is in mixed_float16: it is read and compared in float32"]
    assert pool.run("keras", "keras_precision_steps:ship", {"source": source, "out": tmp_path / "build"}).value == []


@pytest.mark.frameworks
def test_a_builder_of_a_mixed_model_gives_a_float32_saved_model(pool, inputs, tmp_path):
    source = write(pool, inputs, tmp_path, "net.weights.h5")
    payload = {"out": tmp_path / "saved", "source": source, "builder": "keras_precision_steps:build"}
    made = pool.run("keras", "bitpick.conversion.saved_model_maker:make", payload).value
    assert made["notes"] == ["the model is in mixed_float16: it is read and compared in float32"]
