"""What a search finds is wrongly called good enough at most as often as alpha allows, however often it looks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bitpick.recipe import Recipe
from bitpick.searching.race import Limits, Standing, front
from bitpick.searching.search import MOST
from bitpick.selection.claims import with_claims
from bitpick.selection.judge import judge
from tests import records
from tests.selection.judging import TASK, request

ALPHA, SIMULATIONS, RECIPES, SAMPLES = 0.05, 300, 30, 2000
ALLOWED = ALPHA + 2.6 * math.sqrt(ALPHA * (1 - ALPHA) / SIMULATIONS)
MARGIN = 0.02  # of `request`; every recipe loses as much, so that each claim is a false one
TARGETS = np.zeros(SAMPLES, np.int64)
FLOATS = np.zeros(SAMPLES, np.int32)
NAMES = [f"a:s8u8-per_channel-percentile{90 + place / 10}" for place in range(RECIPES)]


def answers(generator: np.random.Generator) -> np.ndarray:
    """The answers of every recipe for new samples, of which some are hard for all of them."""
    hard = generator.random(SAMPLES) < 0.5
    return (generator.random((RECIPES, SAMPLES)) < 2 * MARGIN * hard).astype(np.int32)


def found(seen: np.ndarray) -> list[int]:
    """The places of the recipes that a search for accuracy ends with, after it saw these answers."""
    standings = []
    for name, given in zip(NAMES, seen, strict=True):
        versus = TASK.versus(FLOATS, given, TARGETS)
        standings.append(Standing(Recipe.parse(name), 1, 100, 1.0, versus.drop, *versus.drop_interval))
    return [NAMES.index(each.recipe.id) for each in front(standings, "accuracy", Limits(MARGIN), MOST)]


def any_claimed(places: list[int], given: np.ndarray) -> bool:
    """Whether any of these recipes is called good enough, judged on these answers."""
    predicted = {"a:float32": FLOATS} | {NAMES[place]: given[place] for place in places}
    measured = {
        name: records.row(name, size_bytes=100, metric=TASK.metric(each, TARGETS), samples=SAMPLES)
        for name, each in predicted.items()
    }
    rows = [judge(row, measured, predicted, TARGETS, TASK, request()) for row in measured.values()]
    claimed = with_claims(rows, predicted, TARGETS, TASK, ALPHA)
    return any(row.versus_baseline is not None and row.versus_baseline.noninferior for row in claimed)


@pytest.fixture(scope="module")
def rates() -> tuple[float, float]:
    """How often there is a false claim: judged on samples apart, and on those that the search saw."""
    generator, apart, same = np.random.default_rng(0), 0, 0
    for _ in range(SIMULATIONS):
        seen, confirming = answers(generator), answers(generator)
        places = found(seen)
        apart += any_claimed(places, confirming)
        same += any_claimed(places, seen)
    return apart / SIMULATIONS, same / SIMULATIONS


def test_samples_apart_keep_the_rate_of_false_claims(rates):
    assert rates[0] <= ALLOWED


def test_the_samples_of_the_search_would_not(rates):
    assert rates[1] > 3 * ALPHA
