from __future__ import annotations

import numpy as np
import onnx
import pytest

from bitpick.errors import EngineError
from bitpick.passes.weight_grid import WeightGrid
from bitpick.pipeline.layer_job import Matches, Mix, grid_of, grids, match
from bitpick.recipe import Recipe
from tests.passes import layer_models

FIELDS = {"engine": "litert", "dtypes": "s4s8", "granularity": "per_channel", "calibration": "minmax", "name": "own"}
EIGHT = WeightGrid(127, True)


class Other:
    """An engine that calls the layers otherwise."""

    def __init__(self, *layers):
        self._layers = layers

    def layer_weights(self, source):
        return iter(self._layers)


@pytest.fixture
def matched(tmp_path, monkeypatch):
    """Match a graph of three products, two of them with as many weights, with the layers of an engine."""
    rng = np.random.default_rng(0)
    stored = {
        name: rng.normal(size=size).astype(np.float32) for name, size in (("a", (4, 4)), ("b", (4, 4)), ("c", (4, 2)))
    }
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "a"], ["h"], "first"),
        onnx.helper.make_node("MatMul", ["h", "b"], ["g"], "second"),
        onnx.helper.make_node("Gemm", ["g", "c"], ["y"], "third"),
    ]
    onnx.save(layer_models.model(nodes, stored, ["n", 4]), tmp_path / "clean.onnx")

    def found(*layers):
        monkeypatch.setattr("bitpick.pipeline.layer_job.engine", lambda name: Other(*layers))
        match(tmp_path / "form", tmp_path / "clean.onnx", "other", tmp_path / "out.json")
        return Matches.model_validate_json((tmp_path / "out.json").read_text())

    return stored, found


def test_layers_are_known_by_their_weights_however_these_lie(matched):
    stored, found = matched
    rounding = 1 + 1e-6 * np.random.default_rng(1).normal(size=(4, 4))
    result = found(
        (["two", "2"], stored["b"].T.reshape(4, 1, 1, 4)),
        (["three"], stored["c"].T),
        (["one"], (stored["a"] * rounding).astype(np.float32)),
        (["more"], np.ones((4, 4), np.float32)),
    )
    assert result.layers == {"first": [["one"]], "second": [["two", "2"]], "third": [["three"]]}
    assert result.others == [["more"]]


def test_a_layer_whose_weights_changed_is_no_match(matched):
    stored, found = matched
    result = found((["one"], stored["a"] * 1.01), (["three"], stored["c"]), (["again"], stored["c"]))
    assert result.layers == {"first": [], "second": [], "third": [["three"], ["again"]]}
    assert result.others == [["one"]]


MATCHES = Matches(
    layers={"first": [["torch/one"]], "second": [["torch/two", "relu"]], "third": [["three"], ["again"]], "lost": []},
    others=[["unknown"]],
)


def test_patterns_about_an_engines_names_give_the_grids_of_the_clean_graphs_layers():
    recipe = Recipe(**FIELDS, weights={"relu": "s8"}, exclude=("*one", "add"))
    assert grids(recipe, MATCHES) == {"second": EIGHT, "first": None}
    assert grids(Recipe(**FIELDS, exclude=("three", "again")), MATCHES) == {"third": None}
    other_way = Recipe(**FIELDS | {"dtypes": "s8s8"}, weights={"*two": "s4"})
    assert grids(other_way, MATCHES) == {"second": WeightGrid(7, True, clipped=True, depthwise=127)}


@pytest.mark.parametrize(
    ("fields", "layers"),
    [
        ({"weights": {"again": "s8"}}, "third"),
        ({"exclude": ("unknown",)}, "lost"),
        ({"weights": {"un*": "s8"}}, "lost"),
    ],
)
def test_what_cannot_be_told_is_refused(fields, layers):
    with pytest.raises(EngineError, match=f"passes cannot tell which layer litert makes of {layers}, so") as caught:
        grids(Recipe(**FIELDS, **fields), MATCHES)
    assert "those of unknown are in no layer" in caught.value.expected


def test_a_pattern_that_matches_nothing_is_refused_before_anything_is_tuned():
    with pytest.raises(EngineError, match="no layer with weights of this model is called like 'five'"):
        grids(Recipe(**FIELDS, weights={"five": "s8"}), MATCHES)


def test_a_grid_has_the_layers_of_its_mix(tmp_path):
    (tmp_path / "m.json").write_text(MATCHES.model_dump_json())
    recipe = Recipe(**FIELDS, weights={"*two": "s8"})
    grid = grid_of(Mix(grid="7_per_channel_clipped_mix_0a", recipe=recipe, matches=tmp_path / "m.json"))
    assert grid == WeightGrid(7, True, clipped=True, mix="0a", layers={"second": EIGHT})
    assert grid_of("7_per_channel") == WeightGrid(7, True)
