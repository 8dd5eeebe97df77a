"""Builds and model files, timed beside the first of them, in this process."""

from __future__ import annotations

import pytest

from bitpick.errors import DataError, RequestError
from bitpick.executors.inline import InlineExecutor
from bitpick.measures import latency
from bitpick.models.source import Source
from bitpick.pipeline import builds
from bitpick.recipe import Recipe
from bitpick.schema.groups import Calibration
from bitpick.speed import bench
from bitpick.speed.files import bench_files
from tests.conftest import linear_model
from tests.recording import RecordingListener

PLAIN = "fake:s8s8-per_tensor-minmax"


class Worker(InlineExecutor):
    """Knows how many threads it has, and whether it was closed."""

    def __init__(self, logs, threads):
        self.logs, self.threads, self.closed = logs, threads, False

    def close(self):
        self.closed = True


@pytest.fixture
def time(fake_engine, dataset, monkeypatch):
    monkeypatch.setattr(latency, "_OPEN", {})
    monkeypatch.setattr(bench, "WARM_SECONDS", 0.01)

    def run(*files, data=dataset, **options):
        run.made, run.told = [], RecordingListener()

        def make(logs, threads):
            run.made.append(Worker(logs, threads))
            return run.made[-1]

        options = {"processes": 2, "pairs": 3} | options
        return bench_files([Source.of(each) for each in files], lambda _: data, run.told, make, **options)

    return run


@pytest.fixture
def quantized(fake_engine, model_file, dataset, tmp_path):
    given = builds.ModelAndData(Source.of(model_file), "tiny", lambda _: dataset, RecordingListener(), Worker)
    builds.quantize(given, Recipe.parse(PLAIN), tmp_path / "build", Calibration(calibration_size=50))
    return tmp_path / "build"


def test_a_build_is_timed_beside_a_model_file(time, quantized, model_file):
    done = time(model_file, quantized, threads=2)
    assert [row.recipe for row in done.rows] == ["onnxruntime:float32+raw_graph", PLAIN]
    assert done.rows[0].ratio is None
    assert done.rows[1].ratio > 0
    assert (done.processes, done.pairs, done.threads) == (2, 3, 2)
    first, *fresh = time.made
    assert first.closed  # it opened them, and nothing else runs while they are timed
    assert [each.threads for each in fresh] == [2] * len(fresh)
    assert all(each.closed for each in fresh)
    assert time.told.phases[0] == "loading the data set"


def test_a_model_that_the_data_do_not_fit_is_refused_before_anything_is_timed(time, quantized, tmp_path):
    wide = linear_model(tmp_path / "wide.onnx", shape=(8, 8, 3))
    with pytest.raises(DataError, match=r"takes image \(batch, 8, 8, 3\)"):
        time(quantized, wide)
    assert len(time.made) == 1


def test_a_folder_that_is_no_build_is_a_wrong_request(time, quantized, tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(RequestError, match="holds no build"):
        time(quantized, tmp_path / "taken")
    assert all(each.closed for each in time.made)
