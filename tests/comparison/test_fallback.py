"""Recipes that a run adds where all of a preset's builds of an engine failed or lost."""

from __future__ import annotations

import numpy as np
import pytest

from bitpick.engines.capability import Capability, Offer
from bitpick.engines.executed import Operator, dynamic_grid
from bitpick.engines.fake.engine import FakeEngine
from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine
from bitpick.errors import EngineError
from bitpick.recipe import Recipe, baseline
from bitpick.schema.fingerprint import Grid

STATIC, DYNAMIC, WEIGHTS = "fake:s8s8-per_tensor-minmax", "fake:s8dynamic", "fake:s8weights"


class Ranged(FakeEngine):
    """Its static builds are as good as its float32, or not; its others are."""

    capabilities = (*FakeEngine.capabilities, Capability(("s8dynamic", "s8weights")))

    def __init__(self, static="good"):
        self.static = static
        self.built = []

    def recipes(self, model, host):
        every, full = frozenset({"standard", "full"}), frozenset({"full"})
        asked = [(STATIC, every), (DYNAMIC, full), (WEIGHTS, full)]
        return [Offer(baseline(self.name), every), *(Offer(Recipe.parse(text), presets) for text, presets in asked)]

    def build(self, source, recipe, samples, ranges, folder):
        self.built.append(recipe.id)
        if recipe.static and self.static == "fails":
            raise EngineError("no range")
        made = super().build(source, recipe, samples, ranges, folder)
        if recipe.static and self.static == "loses":
            with np.load(made.main) as arrays:
                spoilt = {name: -arrays[name] if name.startswith("weight") else arrays[name] for name in arrays.files}
            np.savez(made.main, **spoilt)
        return made

    def _operators(self, recipe, layer):
        if recipe.static or recipe.kind == "baseline":
            return super()._operators(recipe, layer)
        weight = Grid(dtype="s8", granularity="per_tensor", symmetric=True, bits=8)
        dynamic = recipe.dtypes == "s8dynamic"
        activations = dynamic_grid("s8") if dynamic else Grid(dtype="float32")
        size = layer.weight.size
        return [Operator(layer.name, "Gemm", "s8" if dynamic else "float32", weight, activations, size, size)]


@pytest.fixture
def compare(compare, use_engines):
    """Compare builds of such an engine."""

    def run(engine, *recipes, **options):
        use_engines(OnnxRuntimeEngine(), engine)
        return compare(*recipes, **options)

    return run


@pytest.mark.parametrize("static", ["loses", "fails"])
def test_where_static_builds_are_lost_the_others_are_tried(compare, static):
    run = compare(Ranged(static))
    assert [row.id for row in run.rows] == ["fake:float32", STATIC, DYNAMIC, WEIGHTS]
    assert [row.status for row in run.rows[2:]] == ["ok", "ok"]
    assert run.row(DYNAMIC).versus_baseline.noninferior  # tested with the others, once all were there
    assert run.recommendation.id in (DYNAMIC, WEIGHTS)
    (note,) = run.notes
    assert note.startswith(
        "every quantized build of fake in the preset failed, has a flag, or lost more than the margin, so "
    )
    assert note.endswith("fake:s8dynamic and fake:s8weights were tried too")


def test_a_run_that_continues_keeps_what_was_added(compare):
    before, again = compare(Ranged("loses")), Ranged("loses")
    after = compare(again)
    assert (after.rows, after.notes) == (before.rows, before.notes)
    assert again.built == []


def test_where_a_static_build_is_good_nothing_is_added(compare):
    run = compare(Ranged("good"))
    assert [row.id for row in run.rows] == ["fake:float32", STATIC]
    assert run.notes == ()


def test_who_names_recipes_gets_those(compare):
    run = compare(Ranged("loses"), STATIC)
    assert [row.id for row in run.rows] == ["fake:float32", STATIC]


def test_a_preset_that_has_them_all_gets_no_more(compare):
    run = compare(Ranged("loses"), preset="full")
    assert [row.id for row in run.rows] == ["fake:float32", STATIC, DYNAMIC, WEIGHTS]
    assert run.notes == ()
