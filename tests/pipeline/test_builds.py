"""One conversion or build, with the fake engine, in this process."""

from __future__ import annotations

import onnx
import pytest

from bitpick.engines.fake.engine import FakeEngine
from bitpick.errors import OutputError, RecipeError, Unsupported
from bitpick.executors.inline import InlineExecutor
from bitpick.models.model import Format
from bitpick.models.source import Source
from bitpick.pipeline import builds
from bitpick.pipeline.build_job import open_build
from bitpick.pipeline.builds import ModelAndData
from bitpick.pipeline.listener import Silent
from bitpick.recipe import Recipe
from bitpick.schema.groups import Calibration

PLAIN = Recipe.parse("fake:s8s8-per_tensor-minmax")


class Closing(InlineExecutor):
    """Knows whether it was closed."""

    def __init__(self, logs, threads):
        self.closed = False
        assert logs.is_dir()
        assert threads >= 1

    def close(self):
        self.closed = True


@pytest.fixture
def workers():
    """Makes workers, and keeps them in `made`."""

    def make(logs, threads):
        make.made.append(Closing(logs, threads))
        return make.made[-1]

    make.made = []
    return make


@pytest.fixture
def convert(fake_engine, model_file, dataset, workers):
    def run(target, out):
        given = ModelAndData(Source.of(model_file), "tiny", lambda _: dataset, Silent(), workers)
        return builds.convert(given, target, out)

    return run


@pytest.fixture
def quantize(fake_engine, model_file, dataset, workers):
    def run(recipe, out, model=model_file, **asked):
        given = ModelAndData(Source.of(model), "tiny", lambda _: dataset, Silent(), workers)
        return builds.quantize(given, recipe, out, Calibration(**{"calibration_size": 50} | asked))

    return run


def test_a_conversion_writes_the_file_and_tells_how_it_was_verified(convert, workers, tmp_path):
    (hop,) = convert(Format.ONNX, tmp_path / "deep" / "clean.onnx")
    assert (hop.name, hop.passed, hop.samples) == ("raw_onnx → onnx", True, 128)
    onnx.checker.check_model(tmp_path / "deep" / "clean.onnx")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["clean.onnx"]
    assert [each.closed for each in workers.made] == [True]


def test_a_conversion_that_fails_writes_nothing(convert, workers, tmp_path, monkeypatch):
    def broken(*_):
        raise Unsupported("there is no such operator")

    monkeypatch.setattr("bitpick.conversion.canonical_onnx.convert", broken)
    with pytest.raises(Unsupported, match="there is no such operator"):
        convert(Format.ONNX, tmp_path / "clean.onnx")
    assert not (tmp_path / "clean.onnx").exists()
    assert not list(tmp_path.glob(".partial*"))
    assert [each.closed for each in workers.made] == [True]


def test_a_conversion_onto_a_folder_is_refused_before_any_work(convert, workers, tmp_path):
    with pytest.raises(OutputError, match="is a directory"):
        convert(Format.ONNX, tmp_path)
    assert workers.made == []


def test_a_build_of_its_own_is_a_whole_folder(quantize, tmp_path):
    files = quantize(PLAIN, tmp_path / "build")
    assert [file.path for file in files] == ["model.npz"]
    assert files[0].bytes == (tmp_path / "build" / "model.npz").stat().st_size
    found = open_build(tmp_path / "build")
    assert found.recipe == PLAIN
    assert found.interface.classes == ("ant", "bee", "cow", "dog")
    assert "predictions.npz" not in [path.name for path in (tmp_path / "build").iterdir()]


def test_a_build_may_go_into_a_folder_that_is_empty_and_into_no_other(quantize, workers, tmp_path):
    (tmp_path / "empty").mkdir()
    assert quantize(PLAIN, tmp_path / "empty")
    workers.made.clear()
    for taken in (tmp_path / "empty", tmp_path / "file"):
        if not taken.exists():
            taken.write_text("mine")
        with pytest.raises(OutputError, match="exists and is not an empty directory") as raised:
            quantize(PLAIN, taken)
        assert raised.value.fix == "name another with --out"
    assert workers.made == []


def test_a_build_that_fails_raises_its_error_and_leaves_the_folder_as_it_was(quantize, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(Unsupported, match="was asked to lack it"):
        quantize(Recipe.parse("fake:s8s8-per_tensor-minmax+absent"), tmp_path / "empty")
    assert not any((tmp_path / "empty").iterdir())
    assert not list(tmp_path.glob(".partial*"))


def test_a_recipe_whose_engine_is_not_here_or_that_no_way_leads_to_is_refused(quantize, tmp_path, monkeypatch):
    monkeypatch.setattr(FakeEngine, "accepts", (Format.EXPORTED,))
    with pytest.raises(RecipeError, match="it starts from exported, and no conversion goes there from raw_onnx"):
        quantize(PLAIN, tmp_path / "build")
    monkeypatch.setattr(FakeEngine, "packages", ("no-such-distribution",))
    with pytest.raises(RecipeError, match="fake:s8s8-per_tensor-minmax: no-such-distribution is not installed"):
        quantize(PLAIN, tmp_path / "build")
    assert not (tmp_path / "build").exists()


def test_a_place_where_nobody_may_write_is_refused_before_any_work(quantize, workers, tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    with pytest.raises(OutputError, match=f"no permission to write in {tmp_path}"):
        quantize(PLAIN, tmp_path / "a" / "b" / "build")
    assert workers.made == []
    assert not (tmp_path / "a").exists()


def test_another_seed_draws_other_samples(quantize, tmp_path):
    recipe = Recipe.parse("fake:s8s8-per_tensor-minmax+drawn")
    digests = [quantize(recipe, tmp_path / name, seed=seed)[0].sha256 for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert digests[0] == digests[1] != digests[2]


def test_a_word_names_a_format_that_is_converted_to():
    assert builds.target_format("litert") is Format.LITERT
    with pytest.raises(RecipeError, match="there is no conversion to 'onx'") as raised:
        builds.target_format("onx")
    assert raised.value.fix == "did you mean onnx?"
    with pytest.raises(RecipeError):
        builds.target_format("keras")  # a format, and nothing leads there
