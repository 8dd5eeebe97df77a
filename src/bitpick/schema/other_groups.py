"""Groups of options of other commands than `compare`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from bitpick.schema.option import Group, Option, above, at_least, one_of

GOALS = ("size", "latency", "accuracy")


@dataclass(frozen=True)
class Depth(Group):
    """How thorough a diagnosis is."""

    samples: Annotated[
        int,
        Option(
            "How many evaluation samples each layer is measured on.",
            holds=at_least(1),
            wrong="the number of samples {} is out of range",
            expected="at least 1",
        ),
    ] = 2000
    layers: Annotated[
        int,
        Option(
            "How many layers get builds of their own, the noisiest ones.",
            "work",
            holds=at_least(1),
            wrong="the number of layers {} is out of range",
            expected="at least 1",
        ),
    ] = 24


@dataclass(frozen=True)
class Hunt(Group):
    """What a search looks for, and how long."""

    goal: Annotated[
        str,
        Option(
            "What the best build has: the least size, the least latency, or the most accuracy.",
            holds=one_of(GOALS),
            wrong="there is no goal {!r}",
            expected=f"one of {', '.join(GOALS)}",
        ),
    ] = "size"
    minutes: Annotated[
        float,
        Option(
            "How long the search may take, about; judging what it finds comes on top.",
            "work",
            holds=above(0),
            wrong="{} minutes are out of range",
            expected="a number above 0",
        ),
    ] = 10.0


@dataclass(frozen=True)
class GateRules(Group):
    """The limits that a row must keep to; what is not set is not checked."""

    max_drop: Annotated[
        float | None,
        Option(
            "The largest drop, in points; of other metrics in percent of the float32's.",
            "verdict",
            holds=at_least(0),
            wrong="the largest drop {} is out of range",
            expected="a number from 0",
        ),
    ] = None
    max_size: Annotated[
        float | None,
        Option(
            "The largest size, in kB.",
            "verdict",
            holds=at_least(0),
            wrong="the largest size {} is out of range",
            expected="a number from 0",
        ),
    ] = None
    max_latency_ratio: Annotated[
        float | None,
        Option(
            "The largest share of the reference's time.",
            "verdict",
            holds=at_least(0),
            wrong="the largest latency ratio {} is out of range",
            expected="a number from 0",
        ),
    ] = None
    min_coverage: Annotated[
        float | None,
        Option(
            "The smallest integer share, from 0 to 1.",
            "verdict",
            holds=lambda value: 0 <= value <= 1,
            wrong="the coverage {} is out of range",
            expected="a share from 0 to 1",
        ),
    ] = None
    max_class_drop: Annotated[
        float | None,
        Option(
            "The largest drop of any class, in points.",
            "verdict",
            holds=at_least(0),
            wrong="the largest class drop {} is out of range",
            expected="a number from 0",
        ),
    ] = None
    noninferior: Annotated[bool, Option("The drop must be shown to be under the run's margin.", "verdict")] = False
