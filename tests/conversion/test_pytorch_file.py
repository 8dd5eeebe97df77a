from __future__ import annotations

import numpy as np
import pytest

from tests.conversion.formats import source_of, start

pytestmark = pytest.mark.frameworks


def test_what_the_pytorch_engines_are_told_of_a_program(pool, programs, tmp_path):
    made = start(pool, source_of(programs, "program of one sample"), programs / "inputs.npz", tmp_path / "made.pt2")
    payload = {"source": made, "inputs": [programs / "samples.npy"], "out": tmp_path / "out.npz"}
    told = pool.run("pytorch", "format_steps:run_exported", payload).value
    assert told["layers"] == ["conv", "norm", "depthwise", "dense"]
    assert told["computing"][0] == ["conv", "Conv2d"]
    assert told["batch"] is None
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_allclose(found["arr_0"], np.load(programs / "expected.npy"), atol=1e-5)
