"""Decide which recipes of a search go on to more samples, and which make the front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bitpick.recipe import Recipe

Goal = Literal["size", "latency", "accuracy"]
KEPT, LEAST = 1 / 3, 6  # the share of the recipes on a stage that goes on to the next, and how many at least


@dataclass(frozen=True)
class Standing:
    """What is known of a recipe so far.

    Attributes:
        recipe: the recipe.
        stage: how many stages it has been through.
        size: bytes of its files.
        time: CPU seconds for a sample.
        drop: what it loses against its engine's float32.
        low: the lower end of the 95% interval of the drop.
        high: the upper end.
    """

    recipe: Recipe
    stage: int
    size: int
    time: float
    drop: float
    low: float
    high: float

    def cost(self, goal: Goal) -> float:
        """Return what the goal makes least, apart from the drop."""
        return self.time if goal == "latency" else float(self.size)


@dataclass(frozen=True)
class Limits:
    """What the best build must keep to.

    Attributes:
        drop: the largest drop, in the metric's unit.
        size: the largest size in bytes.
    """

    drop: float
    size: float = math.inf


def going_on(standings: Sequence[Standing], goal: Goal, limits: Limits) -> list[Standing]:
    """Return the recipes of one stage that go on to the next one: a third, or six, the most promising first.

    A recipe that is shown to lose more than the limit, or that another one beats in both respects, does not go on.
    """
    possible = [each for each in standings if each.low <= limits.drop and each.size <= limits.size]
    count = max(LEAST, math.ceil(KEPT * len(standings)))
    fronts = [each for each in possible if not any(_beats(other, each, goal) for other in possible)]
    return sorted(fronts, key=lambda each: _promise(each, goal, limits))[:count]


def front(standings: Sequence[Standing], goal: Goal, limits: Limits, most: int) -> list[Standing]:
    """Return the recipes that no other one beats at both drop and cost, the most promising first.

    Args:
        standings: recipes that were judged on the same samples.
        goal: what the best build has.
        limits: what it must keep to.
        most: how many to return.
    """
    possible = [each for each in standings if each.low <= limits.drop and each.size <= limits.size]
    return sorted(
        (each for each in possible if not any(_dominates(other, each, goal) for other in possible)),
        key=lambda each: _promise(each, goal, limits),
    )[:most]


def _promise(each: Standing, goal: Goal, limits: Limits) -> tuple[bool, float, float]:
    """Return a sort key: recipes within the limit first, then by the goal."""
    if goal == "accuracy":
        return each.drop > limits.drop, each.drop, each.size
    return each.drop > limits.drop, each.cost(goal), each.drop


def _beats(one: Standing, other: Standing, goal: Goal) -> bool:
    """Whether a recipe costs no more than another and is shown to lose less."""
    return one.cost(goal) <= other.cost(goal) and one.high < other.low


def _dominates(one: Standing, other: Standing, goal: Goal) -> bool:
    """Whether a recipe is at least as good as another in both respects, and better in one."""
    first, second = (one.cost(goal), one.drop), (other.cost(goal), other.drop)
    return first != second and first[0] <= second[0] and first[1] <= second[1]
