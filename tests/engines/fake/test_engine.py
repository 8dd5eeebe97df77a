from __future__ import annotations

import numpy as np
import onnx
import pytest

from bitpick.conversion import canonical_onnx
from bitpick.engines.engine import SessionSettings
from bitpick.engines.fake.engine import FakeEngine
from bitpick.errors import Unsupported
from bitpick.recipe import Recipe, baseline

ENGINE = FakeEngine()


@pytest.fixture
def build(model_file, dataset, tmp_path):
    clean = tmp_path / "clean.onnx"
    canonical_onnx.convert(str(model_file), str(clean))

    def make(recipe):
        folder = tmp_path / recipe.file_name
        folder.mkdir()
        return ENGINE.build(clean, recipe, dataset.samples(dataset.calibration), None, folder)

    return make


def scores(build, batch):
    with ENGINE.open(build, SessionSettings()) as session:
        return session.outputs(session.run(session.prepare((batch,))))[0]


def test_its_float32_is_the_graph(build, model_file, dataset):
    from onnx.reference import ReferenceEvaluator

    batch = np.asarray(dataset.evaluation.inputs["image"][:9], np.float32)
    expected = ReferenceEvaluator(onnx.load(model_file)).run(None, {"image": batch})[0]
    np.testing.assert_allclose(scores(build(baseline("fake")), batch), expected, rtol=1e-4, atol=1e-4)


def test_it_quantizes(build, dataset):
    batch = np.asarray(dataset.evaluation.inputs["image"][:9], np.float32)
    floats = scores(build(baseline("fake")), batch)
    for text in ("s8s8-per_tensor-minmax", "s8u8-per_channel-minmax"):
        found = scores(build(Recipe.parse(f"fake:{text}")), batch)
        assert 0 < np.abs(found - floats).max() < 1


def test_it_misbehaves_as_asked(build, dataset):
    with pytest.raises(ArithmeticError):
        build(Recipe.parse("fake:s8s8-per_tensor-minmax+error"))
    with pytest.raises(Unsupported):
        build(Recipe.parse("fake:s8s8-per_tensor-minmax+absent"))
    broken = build(Recipe.parse("fake:s8s8-per_tensor-minmax+nan"))
    assert np.isnan(scores(broken, np.asarray(dataset.evaluation.inputs["image"][:1], np.float32))).all()
