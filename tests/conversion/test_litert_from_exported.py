from __future__ import annotations

import numpy as np
import pytest

from tests.conversion.formats import check_free_sizes_in_litert, check_litert, run_litert

pytestmark = pytest.mark.frameworks


@pytest.mark.parametrize("name", ["program"])
def test_litert_from_the_source_itself_computes_it_too(pool, programs, tmp_path, name):
    check_litert(pool, programs, tmp_path, name)


@pytest.mark.parametrize("name", ["any.pt2", "any_one.pt2"])
def test_free_sizes_are_fixed(pool, free_programs, tmp_path, name):
    check_free_sizes_in_litert(pool, free_programs, tmp_path, name)


def test_a_program_for_two_samples_at_once_stays_one(pool, tmp_path):
    pool.run("pytorch", "format_steps:write_stubborn", {"out": tmp_path / "m.pt2"})
    convert = "bitpick.conversion.litert_from_exported:convert"
    pool.run("litert_torch", convert, {"source": tmp_path / "m.pt2", "out": tmp_path / "m.tflite"})
    x = np.random.default_rng(0).random((2, 6), dtype=np.float32)
    found = run_litert(tmp_path / "m.tflite", x)
    np.testing.assert_allclose(found, x.reshape(4, 3).cumsum(0).reshape(2, 6), atol=1e-5)
