from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bitpick.conversion import keras_file
from bitpick.errors import ModelError


@pytest.fixture(scope="module")
def folder(pool, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    pool.run("keras", "hop_steps:write_keras_files", {"folder": folder})
    return folder


def convert(pool, source, out):
    pool.run("keras", "bitpick.conversion.onnx_from_keras:convert", {"source": source, "out": out})


@pytest.mark.frameworks
def test_a_model_that_keeps_states_is_refused(pool, folder, tmp_path):
    with pytest.raises(ModelError, match="keeps the state of LSTM memory from one call to the next"):
        convert(pool, folder / "stateful.keras", tmp_path / "m.onnx")


@pytest.mark.frameworks
def test_a_file_that_is_none_is_refused_with_its_path(pool, tmp_path):
    for name in ("m.keras", "m.h5"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(ModelError, match=f"Keras cannot read {tmp_path / name}: "):
            convert(pool, tmp_path / name, tmp_path / "m.onnx")


@pytest.mark.frameworks
def test_inputs_and_outputs_in_dictionaries_are_called_in_the_order_that_is_told(pool, folder):
    payload = {"source": folder / "named.keras", "inputs": [[1, 2, 3], [10, 20, 30]]}
    told = pool.run("keras", "hop_steps:run_named", payload).value
    b, a = np.array(payload["inputs"])[[told["names"].index(name) for name in ("b", "a")]]
    assert sorted(told["found"]) == sorted([(b - a).tolist(), (b + a).tolist()])


def test_made_up_inputs_have_the_types_and_fixed_sizes_of_the_model():
    tensors = [
        SimpleNamespace(shape=(None, None, 3), dtype="float32"),
        SimpleNamespace(shape=(4, 5), dtype=SimpleNamespace(as_numpy_dtype=np.int32)),
    ]
    sound, tokens = keras_file.random_inputs(tensors)
    assert (sound.shape, sound.dtype) == ((2, 8, 3), np.float32)
    assert (tokens.shape, tokens.dtype) == ((4, 5), np.int32)
    assert sound.std() > 0.5
    assert not tokens.any()
    np.testing.assert_array_equal(keras_file.random_inputs(tensors)[0], sound)
