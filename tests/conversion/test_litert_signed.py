"""LiteRT files without signatures, with a batch size inside, or with float16 weights: run, and quantized."""

from __future__ import annotations

import numpy as np
import pytest

from bitpick.conversion import litert_file, litert_signed
from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import SessionSettings
from bitpick.preprocessing import Preprocessing
from bitpick.recipe import Recipe, baseline

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors:UserWarning"),
]
pytest.importorskip("litert_quantizer", reason="LiteRT is not installed: pip install 'bitpick[litert]'")
NAMES = ["signed", "signed_unsigned", "half", "half_unsigned"]
WEIGHTS = 3 * 3 * 3 * 8 + 8 + 8 * 5 + 5 + 1  # with biases of zero, and the factor of the boxes
IMAGES = np.random.default_rng(1).random((5, 8, 8, 3), dtype=np.float32)


@pytest.fixture(scope="module")
def folder(pool, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    pool.run("keras", "litert_steps:write", {"folder": folder})
    np.save(folder / "images.npy", IMAGES)
    return folder


def one_by_one(path):
    """What LiteRT itself gives, image by image."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    found = []
    for image in IMAGES:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        found.append([interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()])
    return [np.concatenate(each) for each in zip(*found, strict=True)]


def built(folder, name, recipe, tmp_path):
    from bitpick.engines.litert.engine import LiteRtEngine

    engine = LiteRtEngine()
    samples = Samples(inputs=(folder / "images.npy",), preprocessing=(Preprocessing(),), count=5, sha256="0")
    source, ranges = folder / f"{name}.tflite", None
    if engine.calibration_key(recipe) is not None:
        ranges = tmp_path / "ranges"
        engine.calibrate(source, recipe, samples, ranges)
    build = engine.build(source, recipe, samples, ranges, tmp_path)
    with engine.open(build, SessionSettings()) as session:
        return build, session.outputs(session.run(session.prepare((IMAGES,))))


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_size_inside_the_graph_is_kept_to(folder, tmp_path, name):
    build, outputs = built(folder, name, baseline("litert"), tmp_path)
    assert [each.shape[:2] for each in outputs] == [(5, 16), (5, 16)]
    for found, expected in zip(outputs, one_by_one(folder / f"{name}.tflite"), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert not litert_signed.has_half_weights(build.main)


@pytest.mark.parametrize("dtypes", ["s8s8-per_channel-minmax", "s8dynamic", "float16"])
@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_quantizes_it_and_outputs_keep_their_order(folder, tmp_path, name, dtypes):
    build, outputs = built(folder, name, Recipe.parse(f"litert:{dtypes}"), tmp_path)
    for found, expected in zip(outputs, one_by_one(folder / f"{name}.tflite"), strict=True):
        assert found.shape == expected.shape
        assert np.sqrt(np.mean((found - expected) ** 2)) < 0.05 * np.sqrt(np.mean(expected**2))
    if dtypes != "float16":
        assert litert_file.is_quantized(str(build.main))


@pytest.mark.parametrize("name", NAMES)
def test_half_weights_are_those_of_a_float_model(folder, name):
    path = folder / f"{name}.tflite"
    assert litert_signed.has_half_weights(path) == name.startswith("half")
    assert not litert_file.is_quantized(str(path))
    with litert_signed.prepared(path) as file:
        assert (file == path) == (name == "signed")
        assert litert_file.parameters(str(file)) == WEIGHTS
    assert litert_file.parameters(str(path)) == WEIGHTS
