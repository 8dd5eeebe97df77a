from __future__ import annotations

import json
import zipfile

import pytest

from bitpick.engines.keras.engine import KerasEngine
from bitpick.models.model import Format
from bitpick.recipe import PRESETS, Recipe, baseline
from bitpick.targets.host import this_host

ENGINE = KerasEngine()


def test_the_baseline_is_all_that_it_offers_and_every_preset_has_it():
    (offer,) = ENGINE.recipes(None, this_host())
    assert (offer.recipe, offer.presets) == (baseline("keras"), set(PRESETS))
    recipe = Recipe.parse("keras:s8s8-per_tensor-minmax")
    assert ENGINE.refusal(recipe) == "keras does not have dtypes s8s8: it has float32"


@pytest.mark.parametrize("form", [Format.KERAS, Format.SAVED_MODEL])
def test_it_verifies_both_formats_of_its_own(form):
    assert ENGINE.float_recipe(form) == baseline("keras")


@pytest.fixture
def build(tmp_path):
    def make(source):
        (tmp_path / "build").mkdir()
        return ENGINE.build(source, baseline("keras"), None, None, tmp_path / "build")

    return make


@pytest.fixture
def h5py():
    return pytest.importorskip("h5py", reason="h5py is not installed: pip install 'bitpick[keras]'")


def layer(dtype):
    return {"class_name": "Dense", "config": {"name": "dense", "dtype": dtype, "units": 4}}


def test_a_file_of_keras_3_ships_as_it_is(build, tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(layer("float32")))
    made = build(tmp_path / "mine.keras")
    assert made.files == ("model.keras",)
    assert made.main.read_bytes() == (tmp_path / "mine.keras").read_bytes()


def test_an_hdf5_file_of_keras_3_keeps_its_suffix(build, h5py, tmp_path):
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file.attrs["keras_version"], file.attrs["model_config"] = "3.8.0", json.dumps(layer("float32"))
    made = build(tmp_path / "mine.h5")
    assert made.files == ("model.h5",)
    assert made.main.read_bytes() == (tmp_path / "mine.h5").read_bytes()


@pytest.mark.parametrize(("version", "dtype"), [("2.15.0", "float32"), ("3.8.0", "mixed_float16")])
def test_what_keras_does_not_open_as_float32_is_saved_again(build, h5py, tmp_path, monkeypatch, version, dtype):
    class Model:
        def save(self, path):
            path.write_text("saved again")

    opened = []
    monkeypatch.setattr("bitpick.conversion.keras_file.load", lambda path: opened.append(path) or Model())
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file.attrs["keras_version"], file.attrs["model_config"] = version, json.dumps(layer(dtype))
    made = build(tmp_path / "mine.h5")
    assert opened == [tmp_path / "mine.h5"]
    assert (made.files, made.main.read_text()) == (("model.keras",), "saved again")


def test_of_a_saved_model_its_graph_is_the_first_file(build, tmp_path, monkeypatch):
    def write(_, out):
        (out / "assets").mkdir(parents=True)
        (out / "variables").mkdir()
        for name in ("assets/words.txt", "saved_model.pb", "fingerprint.pb", "variables/variables.index"):
            (out / name).write_text(name)

    monkeypatch.setattr("bitpick.conversion.saved_model.write", write)
    (tmp_path / "mine").mkdir()
    assert build(tmp_path / "mine").files == (
        "model/saved_model.pb",
        "model/assets/words.txt",
        "model/fingerprint.pb",
        "model/variables/variables.index",
    )
