"""What every engine must do, run over every engine there is, in its own worker."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from bitpick.conversion.route import hops, route
from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import Engine
from bitpick.engines.registry import engines
from bitpick.models.model import Format, Model, Signature, Tensor
from bitpick.pipeline.form_job import FUNCTIONS
from bitpick.recipe import PRESETS, Recipe, baseline
from bitpick.targets.host import this_host

ROOT = Path(__file__).parents[2]
ENDS = Signature((Tensor("image", (8, 8, 3)),), (Tensor("scores", (4,)),))
MODEL = Model(Path("m.keras"), Format.KERAS, "0" * 64, ENDS, 1, 1)
EACH = pytest.mark.parametrize("engine", engines().values(), ids=list(engines()))


def declared(each: Engine) -> list[str]:
    """The recipes that an engine's capabilities cover: every scheme, and each option with the first calibration."""
    schemes = ["float32"]
    for block in each.capabilities:
        here = [dtypes for dtypes in block.dtypes if not {dtypes, f"{each.name}:{dtypes}"} & ELSEWHERE]
        for dtypes, granularity, calibration in itertools.product(here, block.granularities, block.calibrations):
            scheme = f"{dtypes}-{granularity}-{calibration}" if granularity else dtypes
            options = block.options if calibration == block.calibrations[0] else ()
            schemes += [scheme, *(f"{scheme}+{option}" for option in options if option not in ELSEWHERE)]
    recipes = [Recipe.parse(f"{each.name}:{scheme}") for scheme in dict.fromkeys(schemes)]
    return [recipe.id for recipe in recipes if not str(each.refusal(recipe)).count("changes nothing")]


# Options and dtypes of other machines than this.
ELSEWHERE = {"qnnpack"} if this_host().machine in ("x86_64", "AMD64") else {"fbgemm", "x86", "onednn"}
if not {"avx512_bf16", "amx_bf16", "bf16"} & set(this_host().isa):
    ELSEWHERE.add("bfloat16")
if not {"fphp", "asimdhp"} & set(this_host().isa):
    ELSEWHERE.add("onnxruntime:float16")


def offered(each: Engine) -> list[str]:
    """Every recipe that an engine offers on this host."""
    return [o.recipe.id for o in each.recipes(MODEL, this_host()) if o.unsupported is None]


RECIPES = [text for each in engines().values() for text in dict.fromkeys(declared(each) + offered(each))]


@EACH
def test_it_says_what_it_is(engine: Engine):
    assert re.fullmatch(r"[a-z][a-z0-9_]*", engine.name)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert engine.extra in extras
    assert engine.extra == "onnxruntime" or re.search(rf"[\[,]{engine.extra}[\],]", extras["all"][0])
    assert any(route(Format.KERAS, form) is not None for form in engine.accepts)


@EACH
def test_it_declares_what_it_offers(engine: Engine):
    assert not [text for text in declared(engine) + offered(engine) if engine.refusal(Recipe.parse(text))]


@EACH
def test_its_recipes_are_its_own_and_can_be_done(engine: Engine):
    offers = engine.recipes(MODEL, this_host())
    assert offers[0].recipe == baseline(engine.name)
    ids = [offer.recipe.id for offer in offers]
    assert len(ids) == len(set(ids))
    for offer in offers:
        assert offer.recipe.engine == engine.name
        assert offer.presets <= set(PRESETS)
        assert offer.presets
        assert offer.unsupported == engine.refusal(offer.recipe)
        assert engine.form(offer.recipe)


@EACH
def test_it_refuses_what_it_has_not_with_what_it_has(engine: Engine):
    odd = Recipe.parse(f"{engine.name}:s8s8-per_tensor-mse+no_such_option")
    assert engine.name in (engine.refusal(odd) or "")


@EACH
def test_it_has_a_page_in_the_docs(engine: Engine):
    assert (ROOT / "docs" / "engines" / f"{engine.name}.md").is_file()


def test_each_format_is_verified_by_one_engine():
    runs = [form for each in engines().values() for form in each.runs]
    assert sorted(runs) == sorted(set(runs))
    assert {hop.target for hop in hops()} <= set(runs)


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Samples:
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    np.save(folder / "images.npy", rng.integers(0, 256, (200, 8, 8, 3), dtype=np.uint8))
    np.save(folder / "labels.npy", rng.integers(0, 4, 200, dtype=np.uint8))
    return Samples(inputs=(folder / "images.npy",), labels=folder / "labels.npy", count=200, sha256="0" * 64)


@pytest.fixture(scope="module")
def forms(workers, tmp_path_factory) -> dict[Format, Path]:
    """The small network in every format, by the same hops as any model."""
    folder = tmp_path_factory.mktemp("forms")
    found = {Format.KERAS: folder / "keras.keras"}
    workers.run("keras", "steps:make_keras_model", {"out": str(found[Format.KERAS])})
    for hop in (hop for form in Format for hop in route(Format.KERAS, form) or ()):
        if hop.target not in found:
            found[hop.target] = folder / f"{hop.target}{hop.target.suffix}"
            payload = {"source": found[hop.source], "source_format": hop.source, "target_format": hop.target}
            workers.run(hop.environment, f"{FUNCTIONS}:convert", payload | {"out": found[hop.target]})
    return found


@pytest.fixture(scope="module")
def ran(workers, forms, samples, tmp_path_factory):
    """Build and run a recipe, once; returns what was told and the scores."""
    folder = tmp_path_factory.mktemp("builds")
    kept: dict[str, tuple[dict, dict]] = {}

    def run(recipe_id: str) -> tuple[dict, dict]:
        if recipe_id not in kept:
            recipe = Recipe.parse(recipe_id)
            each = engines()[recipe.engine]
            out = folder / f"{recipe.file_name}.npz"
            payload = {
                "recipe": recipe_id,
                "source": next(forms[form] for form in each.form(recipe) if form in forms),
                "samples": samples,
                "folder": folder / recipe.file_name,
                "out": out,
            }
            told = workers.run(each.environment, "steps:build_and_run", payload).value
            with np.load(out) as arrays:
                kept[recipe_id] = told, dict(arrays)
        return kept[recipe_id]

    return run


@pytest.mark.frameworks
@pytest.mark.parametrize("recipe_id", RECIPES)
def test_a_build_is_its_files_wherever_they_are(ran, recipe_id):
    told, scores = ran(recipe_id)
    assert told["files"]
    assert sorted(told["files"]) == told["left"]
    assert told["folder_is_ours"]
    assert told["untouched"]
    assert told["refuses"] is None
    assert told["dtype"] == "float32"
    assert scores["whole"].shape == (32, 4)
    assert np.isfinite(scores["whole"]).all()


@pytest.mark.frameworks
@pytest.mark.parametrize("recipe_id", RECIPES)
def test_scores_do_not_depend_on_when_and_beside_what_a_sample_is_run(ran, recipe_id):
    _, scores = ran(recipe_id)
    assert np.array_equal(scores["whole"], scores["again"])
    # Float kernels round differently at other batch sizes and thread counts, and a rounding may cross a step of 1/256.
    tolerance = 1e-5 if Recipe.parse(recipe_id).kind == "baseline" else 2 / 256
    np.testing.assert_allclose(scores["single"], scores["whole"][:4], atol=tolerance)
    np.testing.assert_allclose(scores["reopened"], scores["whole"], atol=tolerance)


@pytest.mark.frameworks
@pytest.mark.parametrize("name", list(engines()))
def test_its_float32_is_the_model(ran, name):
    reference = ran("onnxruntime:float32")[1]["whole"]
    np.testing.assert_allclose(ran(f"{name}:float32")[1]["whole"], reference, atol=1e-5)


@pytest.mark.frameworks
@pytest.mark.parametrize("recipe_id", [r for r in RECIPES if Recipe.parse(r).kind != "baseline"])
def test_quantized_scores_are_near_and_not_the_same(ran, recipe_id):
    floats = ran(f"{Recipe.parse(recipe_id).engine}:float32")[1]["whole"]
    found = ran(recipe_id)[1]["whole"]
    assert not np.array_equal(found, floats)
    assert np.abs(found - floats).max() < 0.25
    assert (found.argmax(1) == floats.argmax(1)).mean() >= 0.85


STATIC = {  # one static recipe of each engine that can leave layers in float
    # With both numbers signed ONNX Runtime leaves convolutions in float by itself.
    each.name: min((r for r in offered(each) if Recipe.parse(r).static), key=lambda text: ":s8u8" not in text)
    for each in engines().values()
    if each.scopes
}


@pytest.mark.frameworks
@pytest.mark.parametrize("name", STATIC)
def test_a_layer_that_is_left_out_is_in_float_and_no_other_is(workers, forms, samples, tmp_path, name):
    recipe = Recipe.parse(STATIC[name])
    form = next(form for form in engines()[name].form(recipe) if form in forms)
    payload = {"recipe": recipe.id, "source": forms[form], "form": form, "samples": samples, "folder": tmp_path / "w"}
    told = workers.run(engines()[name].environment, "steps:leave_out", payload).value
    names = [layer for layer, _ in told["layers"]]
    assert len(set(names)) == len(names) >= 4
    assert all(kind for _, kind in told["layers"])
    weighted = [layer for layer in names if told["floats"][layer]]
    assert len(weighted) == 4  # three convolutions and the dense layer; what else is named has no products
    assert all(told["floats"][layer] == [layer] for layer in weighted)
    if told["shows"]:
        assert set(told["weights"]) == set(weighted) <= set(told["outputs"])
        assert set(told["outputs"]) & set(names) >= set(weighted)
        assert told["channels"] == [4, 8, 8, 12]
        assert all(20 < value < 60 for value in told["weights"].values())
        assert all(10 < told["outputs"][layer] < 60 for layer in weighted)
    assert told["shows"] == (name != "pytorch_pt2e")  # compiled: nothing of it can be seen


WEIGHTS = 3 * 3 * 3 * 8 + 3 * 3 * 8 * 8 + 3 * 3 * 8 * 12 + 12 * 4  # of steps.make_keras_model, without biases


@pytest.mark.frameworks
@pytest.mark.parametrize("recipe_id", RECIPES)
def test_it_tells_what_its_runtime_executes(ran, recipe_id):
    told = ran(recipe_id)[0]
    assert told["nothing"] is None
    # Keras counts biases and batch norm; ONNX Runtime fills up float channels, and its fusions make up names.
    if not recipe_id.startswith("keras:") and recipe_id != "onnxruntime:float32+raw_graph":
        assert told["weights"] == WEIGHTS
    if Recipe.parse(recipe_id).kind == "baseline":
        assert told["flags"] == []
    assert told["unoptimized"] is None or told["unoptimized"] < 0.25


@pytest.mark.frameworks
def test_a_sequential_keras_model_is_converted_too(workers, tmp_path):
    """tf2onnx alone does not find its outputs."""
    workers.run("keras", "steps:make_sequential_model", {"out": str(tmp_path / "m.keras")})
    payload = {"source": tmp_path / "m.keras", "source_format": Format.KERAS, "target_format": Format.RAW_ONNX}
    workers.run("keras", f"{FUNCTIONS}:convert", payload | {"out": tmp_path / "m.onnx"})
    told = workers.run("onnxruntime", f"{FUNCTIONS}:describe", {"source": str(tmp_path / "m.onnx")}).value
    assert [shape for _, shape, _ in told["outputs"]] == [[None, 4]]
