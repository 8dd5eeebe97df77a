from __future__ import annotations

import numpy as np
import pytest

from bitpick.errors import EngineError
from bitpick.pipeline import float_model
from bitpick.pipeline.arrays import read_outputs


def test_the_reference_graph_is_run_and_what_it_gives_is_kept_in_the_file_that_is_named(prepared, tmp_path, model_file):
    import onnx

    run = prepared()
    told = {"samples": run.inputs.check, "threads": 1, "shapes": run.inputs.shapes, "out": tmp_path / "out.npz"}
    assert float_model.run(run.shop, run.inputs, "run_form", **told) is None
    (found,) = read_outputs(tmp_path / "out.npz")
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(model_file).graph.initializer}
    (images,) = next(run.inputs.check.batches(run.inputs.check.count))
    expected = images.reshape(len(images), -1).astype(np.float32) @ stored["w"] + stored["b"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_function_without_a_file_gives_what_it_returns(prepared):
    run = prepared()
    told = float_model.run(run.shop, run.inputs, "count", samples=run.inputs.check.head(1))
    assert told == {"parameters": 48 * 4 + 4, "macs": 48 * 4}


def test_what_the_function_raises_goes_through(prepared):
    run = prepared()
    wrong = {"samples": run.inputs.check, "threads": 1, "shapes": [(5,)], "out": run.shop.directory.reference_outputs}
    with pytest.raises(EngineError, match="shape"):
        float_model.run(run.shop, run.inputs, "run_form", **wrong)
