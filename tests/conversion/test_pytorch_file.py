from __future__ import annotations

import numpy as np
import pytest

from bitpick.conversion.route import route
from bitpick.models.model import Format
from tests.conversion.formats import clean, source_of, start

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


def test_a_program_for_two_samples_at_once_says_so_and_has_no_layers(pool, tmp_path):
    pool.run("pytorch", "format_steps:write_stubborn", {"out": tmp_path / "m.pt2"})
    np.save(tmp_path / "x.npy", np.ones((2, 6), np.float32))
    payload = {"source": tmp_path / "m.pt2", "inputs": [tmp_path / "x.npy"], "out": tmp_path / "out.npz"}
    told = pool.run("pytorch", "format_steps:run_exported", payload).value
    assert told == {"layers": [], "computing": [], "batch": 2}


def test_what_they_are_told_of_a_module_that_the_importer_made(pool, files, tmp_path):
    path = clean(pool, source_of(files, "keras"), files / "inputs.npz", tmp_path)
    (hop,) = route(Format.ONNX, Format.PYTORCH) or ()
    pool.run(hop.environment, hop.convert, {"source": path, "out": tmp_path / "made.pt"})
    payload = {"source": tmp_path / "made.pt", "inputs": [files / "samples.npy"], "out": tmp_path / "out.npz"}
    told = pool.run("pytorch", "format_steps:run_exported", payload).value
    assert [kind for _, kind in told["computing"]].count("Conv2d") == 2
    assert {name for name, _ in told["computing"]} < set(told["layers"])
    assert told["batch"] is None
    with np.load(tmp_path / "out.npz") as found:  # an array for each sample: it has one output
        np.testing.assert_allclose(np.stack([*found.values()]), np.load(files / "expected.npy"), atol=1e-5)
