from __future__ import annotations

import pytest

from bitpick.errors import RequestError
from bitpick.schema.groups import GROUPS
from bitpick.schema.option import options
from bitpick.schema.settings import Settings

NAMES = [name for group in GROUPS for name in options(group)]


def test_each_option_is_declared_once():
    assert len(NAMES) == len(set(NAMES))
    assert all(option.help.endswith(".") for group in GROUPS for option in options(group).values())


@pytest.mark.parametrize(
    ("flat", "says"),
    [
        ({"alpha": 0.7}, "the level 0.7 is out of range\nexpected: above 0, at most 0.5"),
        ({"seed": -1}, "the seed -1 is negative"),
        ({"calibration_seeds": 0}, "at least 1, the one draw that every build is made from"),
        ({"selection": "cross_fit"}, "did you mean cross-fit?"),
        ({"preset": "standart"}, "did you mean standard?"),
        ({"max_size": -1.0}, "the largest size -1 is out of range"),
        ({"flag_drop": 101.0}, "percentage points from 0 to 100"),
        ({"min_accuracy": 1.5}, "a fraction from 0 to 1"),
        ({"bench_seconds": float("inf")}, "the seconds for timing inf are out of range"),
        ({"jobs": 0}, "the number of jobs 0 is out of range"),
    ],
)
def test_what_cannot_be_is_refused(flat, says):
    with pytest.raises(RequestError) as error:
        Settings().but(**flat)
    assert says in str(error.value)


@pytest.mark.parametrize(
    "flat",
    [
        {"alpha": 0.5},
        {"calibration_seeds": 1},
        {"seed": 0},
        {"flag_drop": 0.0},
        {"flag_drop": 100.0},
        {"min_accuracy": 1.0},
        {"bench_seconds": 0.0},
        {"max_drop": 0.0},
        {"jobs": 1},
    ],
    ids=str,
)
def test_the_ends_of_a_range_are_in_it(flat):
    ((name, value),) = flat.items()
    assert value in [getattr(group, name, None) for group in Settings().but(**flat)]


def test_what_changes_no_build_is_told_from_what_does():
    effects = {name: option.effect for group in GROUPS for name, option in options(group).items()}
    assert {name for name, effect in effects.items() if effect == "work"} == {"jobs", "timeout", "memory_limit"}
    assert {"margin", "alpha", "selection", "max_drop", "max_size", "max_latency_ratio", "flag_drop"} <= {
        name for name, effect in effects.items() if effect == "verdict"
    }
    assert effects["calibration_size"] == effects["bench_seconds"] == "builds"
