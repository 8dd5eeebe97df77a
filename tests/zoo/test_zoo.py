"""Every model of the zoo, beside an oracle that knows nothing of bitpick."""

from __future__ import annotations

import re

import pytest

from tests.zoo import models
from tests.zoo.driving import Inline, compare, executor
from tests.zoo.entry import ENTRIES, Entry
from tests.zoo.oracle import metrics
from tests.zoo.oracle.checks import Truth, faults

models.load()
ONNX = [entry for entry in ENTRIES.values() if entry.framework == "onnx"]
BARE = re.compile(r"\b(?:[A-Z]\w*Error|StopIteration|Exception): ")


def truth(entry: Entry, made) -> Truth:
    return Truth(
        made.inputs,
        made.floats,
        made.labels,
        made.axes,
        entry.metric,
        entry.output,
        made.model,
        entry.only_float,
        entry.never,
    )


def check(entry: Entry, made, error, run, engines) -> None:
    """That an entry was refused with its reason, or accepted, with nothing false in its run."""
    if entry.refused:
        assert error is not None, "it was accepted"
        assert re.search(entry.refused, str(error)), str(error)
        return
    if error is not None:
        assert entry.only_float or entry.never, str(error)
        assert str(error).startswith("no quantized row is ok"), str(error)
    found = faults(run, truth(entry, made), engines)
    assert not found, "\n".join(found)


def test_there_are_enough():
    assert len(ENTRIES) >= 60


@pytest.mark.parametrize("entry", ONNX, ids=lambda entry: entry.name)
def test_through_onnx_runtime(entry, tmp_path):
    made = entry.make(tmp_path / "model")
    if entry.least is not None:
        value = metrics.metric(entry.metric, *(2 * [made.floats[entry.output]]), made.labels, made.inputs[0])
        assert value >= entry.least
    with executor(Inline()):
        error = compare(made, tmp_path / "run", ["onnxruntime"])
    check(entry, made, error, tmp_path / "run", ["onnxruntime"])
