from __future__ import annotations

import numpy as np
import pytest

from bitpick.comparison.judge import judge
from bitpick.measures.accuracy import accuracy
from bitpick.result import RequestRecord, Row

TARGETS = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1])
REQUEST = RequestRecord(
    model="m", model_sha256="0", data="d", preset="p", recipes=[], engines=[], calibration_size=1, seed=0,
    flag_drop=0.15, min_accuracy=0.75, sha256="0",
)  # fmt: skip


def row(row_id, predictions, size, kind="quantized"):
    found = accuracy(np.array(predictions), TARGETS, ("even", "odd"))
    return Row(id=row_id, recipe=row_id, engine="e", kind=kind, status="ok", size_bytes=size, accuracy=found)


def judged(wrong, size=50):
    floats = row("e:float32", TARGETS, 200, "baseline")
    predictions = TARGETS.copy()
    predictions[:wrong] = 1 - predictions[:wrong]
    build = row("e:x", predictions, size)
    rows = {floats.id: floats, build.id: build}
    return judge(build, rows, {floats.id: TARGETS, build.id: predictions}, TARGETS, REQUEST)


def test_beside_its_baseline():
    found = judged(wrong=1)
    assert found.versus_baseline.drop == 0.1
    assert found.versus_baseline.flips == 1
    assert found.versus_baseline.p_value == pytest.approx(0.5)
    assert found.size_ratio == 0.25
    assert found.flags == []


def test_flags():
    assert [f.code for f in judged(wrong=2).flags] == ["drop"]
    assert [f.code for f in judged(wrong=3).flags] == ["drop", "min_accuracy"]
    assert "loses 20.00 points, more than the 15 allowed" in judged(wrong=2).flags[0].text


def test_without_its_baseline_only_what_needs_none():
    build = row("e:x", 1 - TARGETS, 50)
    found = judge(build, {build.id: build}, {build.id: 1 - TARGETS}, TARGETS, REQUEST)
    assert found.versus_baseline is None
    assert found.size_ratio is None
    assert [f.code for f in found.flags] == ["min_accuracy"]
