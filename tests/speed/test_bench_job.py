"""What is done in the process that builds are timed in, called here."""

from __future__ import annotations

import pytest

from bitpick.engines.fake.engine import FakeEngine
from bitpick.errors import ModelError
from bitpick.measures import latency
from bitpick.pipeline.build_job import build
from bitpick.recipe import Recipe
from bitpick.speed.bench_job import bench_blocks, bench_many, bench_open, bench_start


@pytest.fixture
def samples(dataset):
    return dataset.samples(dataset.evaluation)


@pytest.fixture
def folder(fake_engine, model_file, samples, tmp_path, monkeypatch):
    monkeypatch.setattr(latency, "_OPEN", {})
    build(model_file, Recipe.parse("fake:float32"), samples, None, tmp_path / "build")
    return tmp_path / "build"


@pytest.fixture
def ran(monkeypatch):
    """How many samples each run of a session had."""
    counts = []
    real = FakeEngine.open

    def opened(self, made, settings):
        session = real(self, made, settings)
        run = session.run
        session.run = lambda native: (counts.append(len(native)), run(native))[1]
        return session

    monkeypatch.setattr(FakeEngine, "open", opened)
    return counts


def test_an_open_build_is_timed_with_all_of_its_samples_in_one_run(folder, samples, ran):
    grown = bench_open("a", folder, samples.head(3), threads=1, warm_seconds=0)
    assert grown >= 0
    assert set(ran) == {3}
    (block,) = bench_blocks(["a"])
    assert block.wall > 0
    assert len(bench_blocks(["a", "a"])) == 2


def test_many_samples_are_run_in_the_session_that_is_open(folder, samples, ran):
    bench_open("a", folder, samples.head(1), threads=1, warm_seconds=0)
    ran.clear()
    assert len(bench_many("a", samples.head(32), 3)) == 3
    assert set(ran) == {32}


def test_what_a_runtime_loads_once_is_loaded_before_any_build_is_opened(folder, samples, ran):
    bench_start(folder, samples)
    assert set(ran) == {1}
    assert list(latency._OPEN) == [""]  # it stays open, and is not timed


def test_a_folder_that_is_no_build_is_not_timed(fake_engine, samples, tmp_path):
    with pytest.raises(ModelError, match="holds no build"):
        bench_open("a", tmp_path, samples.head(1), threads=1, warm_seconds=0)
