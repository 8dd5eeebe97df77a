"""Which recipes a request asks for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bitpick.engines.capability import Offer
from bitpick.engines.engine import Engine
from bitpick.engines.fake.engine import FakeEngine
from bitpick.errors import RecipeError
from bitpick.models.model import Format, Model, Signature, Tensor
from bitpick.pipeline.offers import check_offered, offers
from bitpick.pipeline.request import make_request
from bitpick.recipe import PRESETS, Recipe
from bitpick.targets.host import this_host


def model(form: Format) -> Model:
    return Model("m", form, "0" * 64, Signature((Tensor("image", (4, 4, 3)),), (Tensor("scores", (4,)),)), 1, 1)


@pytest.fixture
def installed(monkeypatch):
    """Every engine, whatever this machine has."""
    monkeypatch.setattr(Engine, "missing", lambda self: None)


def ids(model_file, form=Format.KERAS, **fields):
    request, _ = make_request(model_file, "tiny", **fields)
    return [offer.recipe.id for offer in offers(request, model(form), this_host())]


def test_the_reference_preset_is_the_published_comparison(model_file, installed):
    assert ids(model_file, preset="reference") == [
        "keras:float32",
        "onnxruntime:float32",
        "pytorch_fx:float32",
        "onnxruntime:s8s8-per_tensor-minmax+raw_graph",
        "onnxruntime:u8u8-per_tensor-minmax+raw_graph",
        "pytorch_fx:s8u8-per_channel-histogram",
        "pytorch_fx:u8u8-per_channel-histogram",
    ]


def test_baselines_come_first_and_basic_has_every_row_it_promises(model_file, installed):
    found = ids(model_file, preset="basic")
    assert found[:3] == ["keras:float32", "onnxruntime:float32", "pytorch_fx:float32"]
    for row in ("s8s8-per_tensor", "u8u8-per_tensor", "s8u8-per_channel"):
        assert f"onnxruntime:{row}-minmax" in found
    assert "onnxruntime:s8u8-per_channel-minmax+reduced_range" in found
    assert "pytorch_fx:u8u8-per_channel-histogram" in found
    on_x86 = this_host().machine in ("x86_64", "AMD64")
    for backend in ("", "+fbgemm", "+onednn"):
        assert (f"pytorch_fx:s8u8-per_channel-histogram{backend}" in found) == (on_x86 or backend == "")


def test_full_has_what_the_others_have(model_file, installed):
    full = set(ids(model_file, preset="full"))
    for preset in ("reference", "basic", "standard"):
        assert set(ids(model_file, preset=preset)) <= full


def test_engines_narrow_a_preset(model_file, installed):
    assert {i.partition(":")[0] for i in ids(model_file, preset="basic", engines=["keras"])} == {"keras"}


def test_recipes_bring_the_baseline_of_their_engine_once(model_file):
    recipe = "onnxruntime:s8s8-per_tensor-minmax"
    assert ids(model_file, recipes=[recipe, "onnxruntime:float32"]) == ["onnxruntime:float32", recipe]


@pytest.mark.parametrize(
    ("needs", "told"),
    [
        (("no-such-distribution",), "no-such-distribution is not installed: pip install 'bitpick[absent]'"),
        (("numpy", "none-such", "nor-such"), "none-such and nor-such are not installed: pip install 'bitpick[absent]'"),
    ],
)
def test_an_engine_that_is_not_installed_is_one_row_that_says_how_to_install_it(model_file, use_engines, needs, told):
    class Absent(FakeEngine):
        name = "absent"
        packages = needs
        extra = "absent"

    use_engines(Absent())
    request, _ = make_request(model_file, "tiny")
    found = offers(request, model(Format.RAW_ONNX), this_host())
    assert [(o.recipe.id, o.unsupported) for o in found] == [("absent:float32", told)]


def test_an_engine_that_a_preset_has_no_recipe_of_is_named_with_the_presets_that_have(model_file):
    asked, form = make_request(model_file, "tiny", preset="basic", engines=["onnxruntime", "litert"])
    with pytest.raises(RecipeError, match="the preset basic has no quantized recipe of litert") as raised:
        check_offered(asked, model(form), this_host())
    assert raised.value.fix == "take --preset standard or full"
    asked, form = make_request(model_file, "tiny", engines=["onnxruntime", "litert"])
    check_offered(asked, model(form), this_host())
    asked, form = make_request(model_file, "tiny", engines=["keras"])
    with pytest.raises(RecipeError, match="the preset standard has no quantized recipe of keras") as raised:
        check_offered(asked, model(form), this_host())
    assert raised.value.fix == "name another engine beside it"


def test_a_request_of_the_float32_alone_is_refused_with_what_to_name(model_file):
    asked, form = make_request(model_file, "tiny", recipes=["onnxruntime:float32"])
    with pytest.raises(RecipeError, match="no quantized recipe is asked for") as raised:
        check_offered(asked, model(form), this_host())
    assert raised.value.fix == "name one beside the float32's, or none at all"


def test_a_recipe_that_no_id_expresses_is_the_one_that_was_written_down(model_file, tmp_path):
    (tmp_path / "mine.yaml").write_text("engine: onnxruntime\ndtypes: s8dynamic\nexclude: [first]\n")
    request, _ = make_request(model_file, "tiny", recipes=[tmp_path / "mine.yaml"])
    _, mine = offers(request, model(Format.RAW_ONNX), this_host())
    assert (mine.recipe.name, mine.recipe.exclude) == ("mine", ("first",))


def test_a_preset_leaves_out_passes_that_have_nothing_to_do(model_file, monkeypatch):
    plain, both = "fake:s8s8-per_tensor-minmax", "fake:s8s8-per_tensor-minmax+adaround+pool_as_mean"
    offered = [Offer(Recipe.parse(text), frozenset(PRESETS)) for text in ("fake:float32", plain, both)]
    monkeypatch.setattr("bitpick.pipeline.offers.engines", lambda: {"fake": FakeEngine()})
    monkeypatch.setattr(FakeEngine, "recipes", lambda *_: offered)

    def found(passes, **fields):
        request, _ = make_request(model_file, "tiny", **fields)
        return [each.recipe.id for each in offers(request, replace(model(Format.KERAS), passes=passes), this_host())]

    assert found(frozenset({"adaround", "pool_as_mean"})) == ["fake:float32", plain, both]
    assert found(frozenset({"adaround"})) == ["fake:float32", plain, f"{plain}+adaround"]
    assert found(frozenset()) == ["fake:float32", plain]  # and not a second time
    assert found(None) == ["fake:float32", plain, both]
