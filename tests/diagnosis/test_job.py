"""What a diagnosis does in a worker, called here: one layer of the network was sabotaged, so the truth is known."""

from __future__ import annotations

import pytest

from bitpick.diagnosis.job import insides, layers
from bitpick.engines.fake.engine import FakeEngine
from bitpick.models.model import Format
from bitpick.pipeline.build_job import build
from bitpick.recipe import Recipe
from tests.diagnosis.conftest import labelled, network

PER_TENSOR, PER_CHANNEL = Recipe.parse("fake:s8s8-per_tensor-minmax"), Recipe.parse("fake:s8u8-per_channel-minmax")
LAYERS = ["net/a/Gemm", "net/b/Gemm", "net/c/Gemm"]


@pytest.fixture
def look(fake_engine, tmp_path):
    """Look inside a build of a network."""

    def run(recipe, sabotage, names=LAYERS):
        arrays = network(tmp_path / "m.onnx", sabotage)
        data = labelled(tmp_path, arrays, count=50)
        samples = data.samples(data.evaluation)
        build(tmp_path / "m.onnx", recipe, samples, None, tmp_path / "build")
        return insides(tmp_path / "m.onnx", Format.ONNX, recipe, tmp_path / "build", samples, names)

    return run


def test_the_layers_of_a_recipe_are_those_that_it_quantizes(fake_engine, tmp_path):
    network(tmp_path / "m.onnx")
    assert layers(tmp_path / "m.onnx", PER_TENSOR) == [(name, "Gemm") for name in LAYERS]


def test_noise_in_the_weights_is_told_layer_by_layer(look):
    found = look(PER_TENSOR, "channel")
    assert list(found) == LAYERS
    decibels = {name: inside.weight_sqnr_db for name, inside in found.items()}
    assert decibels["net/b/Gemm"] < 3
    assert min(decibels["net/a/Gemm"], decibels["net/c/Gemm"]) > 30


def test_noise_in_what_is_computed_is_there_from_the_bad_layer_on(look):
    found = look(PER_CHANNEL, "inputs")
    first, bad, _ = (found[name].activation_sqnr_db for name in LAYERS)
    assert first > 40 > 5 > bad
    assert all(inside.outlier_ratio >= 1 for inside in found.values())


def test_only_the_layers_that_are_asked_for_are_told(look):
    found = look(PER_TENSOR, "", names=["net/b/Gemm", "net/of/another/model"])
    assert list(found) == ["net/b/Gemm", "net/of/another/model"]
    assert found["net/b/Gemm"].activation_sqnr_db > 20
    assert found["net/of/another/model"].weight_sqnr_db is None


def test_a_runtime_that_shows_nothing_tells_nothing(look, monkeypatch):
    monkeypatch.setattr(FakeEngine, "insides", lambda self, floats, build: None)
    assert look(PER_TENSOR, "") == {}
