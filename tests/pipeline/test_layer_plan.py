"""Which jobs find out what engines call layers; nothing is run here."""

from __future__ import annotations

import pytest

from bitpick.engines.fake.engine import FakeEngine
from bitpick.models.model import Format, prepared
from bitpick.passes.registry import mix_of, steps_of
from bitpick.passes.weight_grid import WeightGrid
from bitpick.pipeline import plan
from bitpick.pipeline.layer_plan import mix_jobs, named_form
from bitpick.recipe import Recipe

MIXED = Recipe(
    engine="fake", dtypes="s8s8", granularity="per_channel", calibration="minmax", weights={"a": "s4"}, name="mine",
    options={"adaround": "", "equalize": "", "crash": ""},
)  # fmt: skip
GRID = WeightGrid(127, per_channel=True)
FORM = prepared(Format.ONNX, steps_of(MIXED, GRID, ""))


@pytest.fixture
def pytorch(fake_engine, monkeypatch):
    """The fake engine starts from the form for PyTorch, which the clean graph is converted to."""
    monkeypatch.setattr(FakeEngine, "accepts", (Format.PYTORCH,))


def test_a_mix_needs_the_engines_form_of_the_graph_that_was_rewritten_and_not_yet_rounded(known, pytorch):
    directory = known.shop.directory
    existing = [Format.RAW_ONNX, Format.ONNX]
    jobs = plan.conversions([FORM], known.inputs, directory, existing, mixes={mix_of(MIXED): MIXED})
    by_id = {job.id: job for job in jobs}
    convert, match = by_id["convert:pytorch+equalize+names"], by_id["match:onnx+equalize+names.fake"]
    assert convert.needs == ("convert:onnx+equalize",)
    assert convert.payload["source"] == directory.form(prepared(Format.ONNX, ["equalize"]))
    assert match.needs == (convert.id,)
    assert (match.environment, match.payload["source"]) == ("fake", convert.payload["out"])
    assert match.payload["clean"] == convert.payload["source"]
    assert not convert.wanted
    assert not match.wanted
    tune = by_id[f"convert:{FORM}"]
    assert tune.needs == ("convert:onnx+equalize", match.id)
    assert tune.payload["grid"].grid == f"127_per_channel_mix_{mix_of(MIXED)}"
    assert tune.payload["grid"].matches == match.payload["out"]
    assert [job.id for job in jobs].index(match.id) < [job.id for job in jobs].index(tune.id)


def test_recipes_that_differ_in_nothing_that_a_pass_sees_share_its_job(known):
    step = prepared(Format.ONNX, ["equalize"])
    others = MIXED.model_copy(update={"options": {"adaround": "", "equalize": ""}, "name": "other"})
    mixes = [mix_jobs(each, GRID, step, known.inputs, known.shop.directory, [step])[1] for each in (MIXED, others)]
    assert mixes[0] == mixes[1]
    assert mixes[0].recipe.weights == {"a": "s4"}


def test_a_recipe_without_passes_has_the_names_of_the_form_that_it_starts_from(pytorch):
    plain = MIXED.model_copy(update={"options": {}})
    assert named_form(plain, Format.EXPORTED) == Format.PYTORCH
    assert named_form(MIXED, Format.EXPORTED) == "pytorch+equalize+names"
    assert named_form(MIXED.model_copy(update={"options": {"adaround": ""}}), Format.KERAS) == "pytorch+names"
