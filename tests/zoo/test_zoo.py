"""Every model of the zoo, beside an oracle that knows nothing of bitpick."""

from __future__ import annotations

import re

import pytest

from bitpick.pipeline import directory
from tests.kept import TranslatingExecutor, use_executor
from tests.zoo import models
from tests.zoo.driving import PREPARED, STATIC, compare
from tests.zoo.entry import ENTRIES, Entry, Made
from tests.zoo.oracle import metrics
from tests.zoo.processes import false_in, made
from tests.zoo.truth import truth

models.load()
ALL = list(ENTRIES.values())
_LOWER_IS_BETTER = ("mae", "rmse", "deviation")


def check(entry: Entry, model: Made, error, run, engines) -> None:
    """That an entry was refused with its reason, or accepted, with nothing false in its run."""
    if entry.refused:
        assert error is not None, "it was accepted"
        assert re.search(entry.refused, str(error)), str(error)
        return
    if error is not None:
        assert entry.only_float or entry.never, str(error)
        assert str(error).startswith("no quantized row is ok"), str(error)
    found = [fault for engine in engines for fault in false_in(run, truth(entry, model), engine)]
    assert not found, "\n".join(found)


def means_something(entry: Entry, model: Made) -> None:
    """That the float model does what it is for."""
    if entry.least is not None:
        own = model.floats[entry.output]
        value = metrics.metric(entry.metric, own, own, model.labels, model.inputs[0])
        assert value <= entry.least if entry.metric in _LOWER_IS_BETTER else value >= entry.least


def test_there_are_enough():
    assert len(ENTRIES) >= 60


@pytest.mark.parametrize("entry", [e for e in ALL if e.framework == "onnx"], ids=lambda entry: entry.name)
def test_onnx_through_onnx_runtime(entry, tmp_path):
    model = entry.make(tmp_path / "model")
    means_something(entry, model)
    with use_executor(TranslatingExecutor(), tmp_path / "cache"):
        error = compare(model, tmp_path / "run", ["onnxruntime"], [STATIC["onnxruntime"], PREPARED])
    check(entry, model, error, tmp_path / "run", ["onnxruntime"])
    if error is None:
        rows = directory.read(tmp_path / "run").rows
        assert [row.reason for row in rows if row.status == "failed"] == []


@pytest.mark.frameworks
@pytest.mark.parametrize("entry", [e for e in ALL if e.framework != "onnx"], ids=lambda entry: entry.name)
def test_others_through_one_engine(entry, tmp_path, workers):
    model = made(entry, tmp_path / "model")
    means_something(entry, model)
    engine = "litert" if entry.framework == "litert" else "onnxruntime"
    with use_executor(workers, tmp_path / "cache"):
        error = compare(model, tmp_path / "run", [engine])
    check(entry, model, error, tmp_path / "run", [engine])


@pytest.mark.zoo
@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.name)
def test_through_every_engine(entry, tmp_path, workers):
    model = made(entry, tmp_path / "model")
    engines = ["litert"] if entry.framework == "litert" else list(STATIC)
    with use_executor(workers, tmp_path / "cache"):
        error = compare(model, tmp_path / "run", engines)
    check(entry, model, error, tmp_path / "run", engines)
