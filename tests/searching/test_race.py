from __future__ import annotations

import pytest

from bitpick.recipe import Recipe
from bitpick.searching.race import LEAST, Limits, Standing, front, going_on

LIMITS = Limits(drop=0.01)


def standing(number, size=100, drop=0.0, width=0.002, time=1.0):
    """A recipe of its own, with what is known of it."""
    recipe = Recipe.parse(f"e:s8u8-per_channel-percentile{number}")
    return Standing(recipe, 1, size, time, drop, drop - width, drop + width)


def ids(standings):
    return [int(each.recipe.calibration.removeprefix("percentile")) for each in standings]


def test_a_third_goes_on_and_six_at_least():
    many = [standing(number, size=100 + number) for number in range(60)]
    assert ids(going_on(many, "size", LIMITS)) == list(range(20))
    assert len(going_on(many[:9], "size", LIMITS)) == LEAST


def test_what_is_shown_to_lose_too_much_or_is_beaten_does_not_go_on():
    rows = [
        standing(1, size=100, drop=0.002),
        standing(2, size=90, drop=0.05),  # loses more than the limit
        standing(3, size=120, drop=0.008, width=0.001),  # larger, and shown to lose more than the first
        standing(4, size=120, drop=0.003, width=0.004),  # larger, but perhaps better
        standing(5, size=80, drop=0.011, width=0.003),  # may be within the limit
    ]
    assert ids(going_on(rows, "size", LIMITS)) == [1, 4, 5]  # what seems to be within the limit first
    assert ids(going_on(rows, "size", Limits(drop=0.01, size=110))) == [1, 5]


@pytest.mark.parametrize(("goal", "order"), [("size", [2, 1, 3]), ("latency", [3, 1]), ("accuracy", [1, 2, 3])])
def test_the_front_is_what_no_other_beats_in_both_respects(goal, order):
    rows = [
        standing(1, size=100, drop=0.001, time=2.0),
        standing(2, size=50, drop=0.004, time=3.0),
        standing(3, size=100, drop=0.005, time=1.0),
    ]
    expected = order if goal == "latency" else [each for each in order if each != 3]
    assert ids(front(rows, goal, LIMITS, 6)) == expected
    assert ids(front(rows, goal, LIMITS, 1)) == expected[:1]
