from __future__ import annotations

import numpy as np
import pytest

from bitpick.schema.run import Flag
from bitpick.selection.judge import judge, on_target, with_gain
from bitpick.tasks.classification import Classification
from tests import records

TARGETS = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1])
TASK = Classification(classes=("even", "odd"))
REQUEST = records.request(flag_drop=0.15, min_accuracy=0.75)


def row(row_id, predictions, size, kind="quantized"):
    found = TASK.metric(np.array(predictions), TARGETS)
    return records.row(row_id, kind=kind, size_bytes=size, metric=found, samples=10)


def judged(wrong, size=50):
    floats = row("e:float32", TARGETS, 200, "baseline")
    predictions = TARGETS.copy()
    predictions[:wrong] = 1 - predictions[:wrong]
    build = row("e:x", predictions, size)
    rows = {floats.id: floats, build.id: build}
    return judge(build, rows, {floats.id: TARGETS, build.id: predictions}, TARGETS, TASK, REQUEST)


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
    assert "loses 20.00 points, more than the 15.00 allowed" in judged(wrong=2).flags[0].text


def test_without_its_baseline_only_what_needs_none():
    build = row("e:x", 1 - TARGETS, 50)
    found = judge(build, {build.id: build}, {build.id: 1 - TARGETS}, TARGETS, TASK, REQUEST)
    assert found.versus_baseline is None
    assert found.size_ratio is None
    assert [f.code for f in found.flags] == ["min_accuracy"]


def test_a_flag_of_the_measurements_stays():
    partly = Flag(code="partly_float", text="half of it")
    floats = row("e:float32", TARGETS, 200, "baseline")
    build = row("e:x", TARGETS, 50).model_copy(update={"flags": [partly]})
    rows = {floats.id: floats, build.id: build}
    predicted = {floats.id: TARGETS, build.id: TARGETS}
    once = judge(build, rows, predicted, TARGETS, TASK, REQUEST)
    assert judge(once, rows, predicted, TARGETS, TASK, REQUEST).flags == [partly]


@pytest.mark.parametrize(
    ("there", "code", "says"),
    [
        (
            [0, 1, 0, 1, 0, 1, 0, 1, 1, 0],
            "saturates",
            "2 of 10 predictions differ from those on this CPU, 20",
        ),
        (
            [0, 1, 0, 1, 0, 1, 0, 1, 0, 0],
            "differs",
            "1 of 10 predictions differ from those on this CPU, 10",
        ),
    ],
)
def test_on_another_cpu(there, code, says):
    build = row("e:x@t", there, 50)
    found = on_target(build, np.array(there), TARGETS, TARGETS, TASK, code == "saturates")
    assert [flag.code for flag in found.flags] == [code]
    assert found.flags[0].text.startswith(says)
    assert found.versus_native.correct == 10


def test_on_another_cpu_a_flip_need_not_lose_anything():
    native = np.array([1, 1, 0, 1, 0, 1, 0, 1, 0, 1])
    there = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 0])
    found = on_target(row("e:x@t", there, 50), there, native, TARGETS, TASK, saturates=False)
    assert (found.versus_native.flips, found.versus_native.drop) == (2, 0.0)
    assert "as many are right" in found.flags[0].text
    assert on_target(row("e:x@t", native, 50), native, native, TARGETS, TASK, saturates=True).flags == []


def test_what_preparing_gained_is_measured_on_the_same_samples():
    plain, prepared = TARGETS.copy(), TARGETS.copy()
    plain[:3], prepared[:1] = 1 - plain[:3], 1 - prepared[:1]
    gain = with_gain(row("e:y", prepared, 50), "e:x", {"e:x": plain, "e:y": prepared}, TARGETS, TASK).versus_unprepared
    assert (gain.row, gain.gain) == ("e:x", pytest.approx(0.2))
    assert gain.gain_interval[0] < 0.2 < gain.gain_interval[1]
    assert 0 < gain.p_value < 1
