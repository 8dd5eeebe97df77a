from __future__ import annotations

import numpy as np
import pytest

from tests.conversion.formats import check_free_sizes_in_litert, check_litert
from tests.conversion.saved_model_steps import WEIGHT

pytestmark = pytest.mark.frameworks


@pytest.mark.parametrize("name", ["saved_model"])
def test_litert_from_the_source_itself_computes_it_too(pool, files, tmp_path, name):
    check_litert(pool, files, tmp_path, name)


@pytest.mark.parametrize("name", ["any_saved"])
def test_free_sizes_are_fixed(pool, free, tmp_path, name):
    check_free_sizes_in_litert(pool, free, tmp_path, name)


@pytest.mark.parametrize("name", ["captured", "captured_unsigned"])
def test_constants_that_a_function_captured_are_weights(pool, saved_models, tmp_path, name):
    x = np.load(saved_models / "x.npy")
    convert = "bitpick.conversion.litert_from_saved_model:convert"
    pool.run("keras", convert, {"source": saved_models / name, "out": tmp_path / "net.tflite"})
    steps = "saved_model_steps:run_litert"
    found = pool.run("keras", steps, {"source": tmp_path / "net.tflite", "inputs": saved_models / "x.npy"}).value
    np.testing.assert_allclose(found, x @ WEIGHT, rtol=1e-5, atol=1e-6)
