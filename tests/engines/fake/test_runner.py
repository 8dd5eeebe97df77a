from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bitpick.engines.engine import SessionSettings
from bitpick.engines.fake.engine import FakeEngine
from bitpick.engines.fake.runner import Build
from bitpick.recipe import Recipe

ENGINE = FakeEngine()


@pytest.fixture
def two_layers(tmp_path):
    """Two Gemms with a ReLU between them."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"], "flat"),
        helper.make_node("Gemm", ["flat", "w", "b"], ["h"], "first"),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("Gemm", ["r", "v", "c"], ["scores"], "second"),
    ]
    shapes = {"w": (48, 6), "b": (6,), "v": (6, 4), "c": (4,)}
    stored = [onnx.numpy_helper.from_array(rng.normal(size=s).astype(np.float32), n) for n, s in shapes.items()]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape])
        for name, shape in (("image", (4, 4, 3)), ("scores", (4,)))
    ]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], stored)), tmp_path / "two.onnx")
    return tmp_path / "two.onnx"


@pytest.mark.parametrize("text", ["fake:float32", "fake:s8u8-per_channel-minmax"])
def test_a_build_says_alone_what_it_says_in_its_engine(two_layers, dataset, tmp_path, text):
    (tmp_path / "build").mkdir()
    samples = dataset.samples(dataset.calibration)
    build = ENGINE.build(two_layers, Recipe.parse(text), samples, None, tmp_path / "build")
    batch = np.asarray(dataset.evaluation.inputs["image"][:5], np.float32)
    with ENGINE.open(build, SessionSettings()) as session:
        (expected,) = session.outputs(session.run(session.prepare((batch,))))
    alone = Build(build.folder, list(build.files), {}, 1)
    assert alone.batch == 1
    for sample, scores in zip(batch, expected, strict=True):
        (found,) = alone.outputs(alone.run(alone.prepare([sample[None]])))
        np.testing.assert_allclose(found, scores[None], rtol=1e-5)
