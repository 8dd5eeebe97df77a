"""What is done in workers, called here."""

from __future__ import annotations

import numpy as np
import pytest

from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import Build
from bitpick.engines.fake.engine import FakeEngine
from bitpick.errors import ModelError
from bitpick.pipeline.build_job import build, open_build
from bitpick.recipe import Recipe

RECIPE = Recipe.parse("fake:float32")


@pytest.fixture
def made(fake_engine, tmp_path, monkeypatch):
    """A build of two files, of which the first one to open is the last one by its name."""

    def two(self, source, recipe, samples, ranges, folder):
        for name in ("model.xml", "model.bin"):
            (folder / name).write_text(name)
        return Build(recipe, folder, ("model.xml", "model.bin"))

    monkeypatch.setattr(FakeEngine, "build", two)
    np.save(tmp_path / "x.npy", np.zeros((1, 1), np.float32))
    samples = Samples(inputs=(tmp_path / "x.npy",), count=1, sha256="0")
    build(tmp_path / "m.onnx", RECIPE, samples, None, tmp_path / "build")
    return tmp_path / "build"


def test_a_build_is_opened_by_its_first_file(made):
    assert open_build(made).files == ("model.xml", "model.bin")
    assert open_build(made).main.name == "model.xml"


def test_a_build_whose_file_was_edited_is_refused(made):
    (made / "model.bin").write_text("edited")
    with pytest.raises(ModelError, match=r"model\.bin in the build .* changed since it was built"):
        open_build(made)


def test_a_build_of_an_earlier_version_has_a_list_of_files(made):
    (made / "recipe.yaml").write_text(
        "id: fake:float32\nengine: fake\ndtypes: float32\nfiles: [model.xml, model.bin]\n"
    )
    (made / "model.bin").write_text("another")
    assert open_build(made).files == ("model.xml", "model.bin")
