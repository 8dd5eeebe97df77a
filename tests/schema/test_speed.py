from __future__ import annotations

import pytest

from bitpick.schema.speed import Latency, verdict

TIMES = {
    "p50": 2e-3, "p90": 3e-3, "cpu_time": 1e-3, "reference": "e:float32", "control": 1.0,
    "control_interval": (0.99, 1.01), "threads": 1, "processes": 5, "pairs": 100,
}  # fmt: skip


@pytest.mark.parametrize(
    ("interval", "says"),
    [
        (None, "not resolvable here"),
        ((0.5, 0.99), "faster"),
        ((1.01, 2.0), "slower"),
        ((0.5, 1.0), "not resolvable here"),
        ((0.96, 1.0), "no difference shown"),
        ((1.0, 1.0), "no difference shown"),
        ((0.96, 1.04), "no difference shown"),
        ((0.94, 1.01), "not resolvable here"),
        ((0.99, 1.06), "not resolvable here"),
    ],
)
def test_an_interval_shows_a_direction_or_that_there_is_none_or_nothing(interval, says):
    assert verdict(interval) == says


def test_the_time_is_by_the_clock_of_the_ratios():
    assert Latency(**TIMES, clock="cpu").time == 1e-3
    assert Latency(**TIMES, clock="wall").time == 2e-3
    assert Latency(**TIMES | {"cpu_time": None}, clock="cpu").time == 2e-3


def test_intervals_of_older_versions_that_showed_nothing_are_none():
    older = {"ratio_own": 0.5, "ratio_own_interval": (0.4, 0.6), "ratio_reference_interval": (0.3, 0.7)}
    shown = Latency.model_validate(TIMES | older | {"resolvable": True})
    hidden = Latency.model_validate(given := TIMES | older | {"resolvable": False})
    assert (shown.ratio_own_interval, shown.ratio_reference_interval) == ((0.4, 0.6), (0.3, 0.7))
    assert (hidden.ratio_own_interval, hidden.ratio_reference_interval) == (None, None)
    assert hidden.ratio_own == 0.5
    assert given["resolvable"] is False  # what was read is left as it was
