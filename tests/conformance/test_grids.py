"""Weights that a pass rounded to an engine's grid must pass through the engine's own quantizer unchanged."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import bitpick
from bitpick.models.model import Format, prepared
from bitpick.pipeline.forms import start_form
from bitpick.recipe import file_name
from tests.kept import use_executor
from tests.passes import layer_models

pytestmark = pytest.mark.frameworks

RNG = np.random.default_rng(0)
SCHEMES = {
    "onnxruntime": (
        "s8u8-per_channel-minmax",
        "s8u8-per_channel-minmax+reduced_range",
        "s8u8-per_channel-minmax+qoperator",
        "s8s8-per_tensor-minmax",
        "s8dynamic",
        "s8weights",
        "s4weights",
    ),
    "openvino": ("s8u8-per_channel-minmax", "s8weights", "s4weights"),
    "litert": (
        "s8s8-per_channel-minmax",
        "s8dynamic",
        "s8weights",
        "s4s8-per_channel-minmax",
        "s4dynamic",
        "s4weights",
    ),
}


def compare(workers, place, recipes):
    """Make builds of a small residual network, all of which must be ok."""
    model = layer_models.residual(np.random.default_rng(1), channels=16)
    for each in model.graph.initializer:
        weights = onnx.numpy_helper.to_array(each).copy()
        if weights.ndim == 4:
            weights[0] *= 0.01  # a channel that is far quieter than the others
            each.CopyFrom(onnx.numpy_helper.from_array(weights, each.name))
    onnx.save(model, place / "m.onnx")
    images = np.abs(RNG.normal(size=(120, 3, 8, 8))).astype(np.float32)
    np.save(place / "images.npy", images[:80])
    data = {"calibration": images[:80], "evaluation": images[80:]}
    options = {"recipes": recipes, "task": "deviation", "bench_seconds": 0, "targets": ["host"]}
    with use_executor(workers, place / "cache"):
        comparison = bitpick.compare(place / "m.onnx", data, out=place / "run", **options)
    assert {row.id: row.reason for row in comparison.rows if row.status != "ok"} == {}
    return comparison.rows


@pytest.mark.parametrize("engine", SCHEMES)
def test_weights_on_the_grid_stay_as_they_are(engine, workers, tmp_path):
    recipes = [f"{engine}:{scheme}+bias_correction" for scheme in SCHEMES[engine]]
    # The options of a recipe's id are in alphabetical order.
    recipes = [bitpick.Recipe.parse(recipe).id for recipe in recipes]
    compare(workers, tmp_path, recipes)
    forms = tmp_path / "run" / "forms"
    for recipe in recipes:
        form = start_form(bitpick.Recipe.parse(recipe), Format.ONNX)
        source, folder = forms / f"{form}{form.suffix}", tmp_path / "run" / "builds" / file_name(recipe)
        payload = {"source": str(source), "recipe": recipe, "folder": str(folder)}
        layers = workers.run(engine, "steps:weight_changes", payload).value
        assert len(layers) == 4, recipe
        if "weights" in recipe and engine == "openvino":  # whose scales are in half precision
            assert max(layers.values()) < 2**-11, (recipe, layers)
            continue
        if engine == "openvino":  # NNCF gives the first layer seven bits, so that it does not overflow on any CPU
            assert layers.pop("first") < 1 / 127 + 1e-4
        assert max(layers.values()) < 1e-4, (recipe, layers)


@pytest.mark.parametrize(
    ("scheme", "other"),
    [
        ("litert:s4s8-per_channel-minmax", "s8"),
        ("litert:s8s8-per_channel-minmax", "s4"),
        ("litert:s4dynamic", "s8"),
        ("onnxruntime:s4weights", "s8"),
        ("onnxruntime:s8weights", "s4"),
        ("openvino:s4weights", "s8"),
        ("openvino:s8weights", "s4"),
    ],
)
def test_mixed_weights_are_each_on_the_grid_of_their_layer(scheme, other, workers, tmp_path):
    plain = bitpick.Recipe.parse(scheme)
    fields = {"options": {"adaround": ""}, "weights": {"*first*": other}, "exclude": ("*pointwise*",), "name": "own"}
    recipe = bitpick.Recipe.model_validate(plain.model_dump() | fields)
    (row,) = (row for row in compare(workers, tmp_path, [recipe]) if row.kind == "quantized")
    assert row.fingerprint.mix.keys() == {"s4", "s8"}
    assert [flag.text for flag in row.flags if flag.code == "not_as_requested"] == []
    form = start_form(recipe, Format.ONNX)
    source, folder = tmp_path / "run" / "forms" / f"{form}{form.suffix}", tmp_path / "run" / "builds" / recipe.file_name
    payload = {"source": str(source), "recipe": scheme, "folder": str(folder)}
    changes = workers.run(plain.engine, "steps:weight_changes", payload).value
    assert len(changes) == 4
    assert max(changes.values()) < (2**-11 if plain.engine == "openvino" else 1e-4), changes
    paths = tmp_path / "m.onnx", source.with_name(f"{prepared(Format.ONNX, form.passes)}.onnx")
    stored = [each for path in paths for each in onnx.load(path).graph.initializer]
    kept = [onnx.numpy_helper.to_array(each) for each in stored if list(each.dims) == [16, 16, 1, 1]]
    np.testing.assert_array_equal(*kept)


@pytest.mark.parametrize(
    "recipe", ["executorch:s8s8-per_channel-histogram", "pytorch_pt2e:s8u8-per_channel-histogram+reduced_range"]
)
def test_weights_on_the_grid_stay_as_they_are_in_exported_programs(recipe, workers, tmp_path):
    recipe = bitpick.Recipe.parse(f"{recipe}+bias_correction")
    compare(workers, tmp_path, [recipe.id])
    form = start_form(recipe, Format.ONNX)
    source = tmp_path / "run" / "forms" / f"{form}{form.suffix}"
    payload = {"source": str(source), "recipe": recipe.id, "inputs": str(tmp_path / "images.npy")}
    changes = workers.run(recipe.engine, "steps:program_weight_changes", payload).value
    assert len(changes) == 4
    assert max(changes.values()) < 1e-4, changes
