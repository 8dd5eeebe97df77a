"""The options of a comparison, in groups; each has a default, a check, a help text and an effect."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from bitpick.errors import RecipeError, RequestError, did_you_mean
from bitpick.recipe import PRESETS, Recipe
from bitpick.schema.option import Group, Option, above, at_least
from bitpick.schema.uses import USES

Selection = Literal["simultaneous", "cross-fit"]


@dataclass(frozen=True)
class Builds(Group):
    """Which builds to make."""

    preset: Annotated[
        str, Option("Which recipes: reference, basic, standard or full; or best, those that a search finds.")
    ] = "standard"
    recipes: Annotated[
        tuple[str | Recipe, ...],
        Option("A recipe id or YAML file, instead of the preset's; repeat for more.", flags=("--recipe",)),
    ] = ()
    engines: Annotated[tuple[str, ...], Option("Only this engine; repeat for more.", flags=("--engine",))] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.preset not in PRESETS:
            raise RecipeError(
                f"there is no preset {self.preset!r}",
                expected=f"one of {', '.join(PRESETS)}",
                fix=did_you_mean(self.preset, PRESETS),
            )


@dataclass(frozen=True)
class Calibration(Group):
    """Which samples to calibrate with, and how long to train."""

    calibration_size: Annotated[int, Option("Number of calibration samples; by default 1,000, or all there are.")] = (
        1000
    )
    seed: Annotated[
        int,
        Option(
            "Seed of the calibration draw, and of training.",
            holds=at_least(0),
            wrong="the seed {} is negative",
            expected="a whole number from 0",
        ),
    ] = 0
    calibration_seeds: Annotated[
        int,
        Option(
            "Make the builds that matter from so many calibration draws, to judge their recipes.",
            holds=at_least(1),
            wrong="the number of calibration seeds {} is out of range",
            expected="at least 1, the one draw that every build is made from",
        ),
    ] = 1
    training_minutes: Annotated[
        float,
        Option(
            "CPU minutes that each training may take, for recipes with +qat.",
            holds=above(0),
            wrong="{} training minutes are out of range",
            expected="a number above 0",
        ),
    ] = 15.0


@dataclass(frozen=True)
class Targets(Group):
    """Which other CPUs to measure for."""

    targets: Annotated[
        tuple[str, ...],
        Option(
            "Measure for this CPU too: x86-avx2, a YAML file, or host for none other; repeat for more.",
            flags=("--target",),
        ),
    ] = ()
    target_samples: Annotated[
        int,
        Option(
            "How many evaluation samples a target gets.",
            holds=at_least(1),
            wrong="the number of target samples {} is out of range",
            expected="at least 1",
        ),
    ] = 1000


@dataclass(frozen=True)
class Metric(Group):
    """What to judge builds by; what is not set follows from the model and the data."""

    task: Annotated[
        str | None,
        Option("classification, multilabel, regression, reconstruction, anomaly, agreement or deviation."),
    ] = None
    metric: Annotated[
        str | None, Option("A metric of the task, such as rmse, or a function of yours, as module:function.")
    ] = None
    unit: Annotated[str | None, Option("The unit of the metric's values.")] = None
    lower_is_better: Annotated[
        bool | None,
        Option("Which way a metric of yours goes.", flags=("--lower-is-better/--higher-is-better",)),
    ] = None


@dataclass(frozen=True)
class Claims(Group):
    """What shows that a build is good enough."""

    margin: Annotated[
        str | None,
        Option(
            "The largest drop that does no harm: 1% of what the float32 gets, or 0.5 points, or 0.5 of a unit; "
            "by default 1%, and 5% of an error.",
            "verdict",
        ),
    ] = None
    alpha: Annotated[
        float,
        Option(
            "One-sided level of showing that a build loses less.",
            "verdict",
            holds=lambda value: 0 < value <= 0.5,
            wrong="the level {} is out of range",
            expected="above 0, at most 0.5",
        ),
    ] = 0.05
    selection: Annotated[
        str,
        Option(
            "simultaneous: all builds tested at once; cross-fit: chosen on one half, judged on the other.", "verdict"
        ),
    ] = "simultaneous"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.selection not in (known := get_args(Selection)):
            raise RequestError(
                f"there is no selection {self.selection!r}",
                expected=" or ".join(known),
                fix=did_you_mean(self.selection, known),
            )


@dataclass(frozen=True)
class Limits(Group):
    """Which builds are never recommended, however good they are."""

    use: Annotated[
        str | None,
        Option(
            "What to ship for: phone, server or microcontroller; it chooses the engines.", "verdict", flags=("--for",)
        ),
    ] = None
    max_drop: Annotated[
        float | None,
        Option(
            "Recommend no build that loses more, in points; of other metrics in percent of the float32's.",
            "verdict",
            holds=math.isfinite,
            wrong="the largest drop {} is out of range",
            expected="a number above 0",
            unit=1 / 100,
        ),
    ] = None
    max_size: Annotated[
        float | None,
        Option(
            "Recommend no build that is larger, in kB.",
            "verdict",
            holds=above(0),
            wrong="the largest size {} is out of range",
            expected="a number above 0",
            unit=1000,
            rounded=True,
        ),
    ] = None
    max_latency_ratio: Annotated[
        float | None,
        Option(
            "Recommend no build that takes a larger share of the time of the reference.",
            "verdict",
            holds=above(0),
            wrong="the latency ratio {} is out of range",
            expected="above 0",
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.use is not None and self.use not in USES:
            raise RequestError(
                f"there is no use {self.use!r}", expected=f"one of {', '.join(USES)}", fix=did_you_mean(self.use, USES)
            )


@dataclass(frozen=True)
class Flags(Group):
    """Which builds to flag."""

    flag_drop: Annotated[
        float,
        Option(
            "Flag rows that lose more than this, in points, or percent of what the float32 gets.",
            "verdict",
            holds=lambda value: 0 <= value <= 100,
            wrong="the flagged drop {} is out of range",
            expected="percentage points from 0 to 100",
            unit=1 / 100,
        ),
    ] = 5.0
    min_accuracy: Annotated[
        float | None,
        Option(
            "Flag rows with less accuracy than this, from 0 to 1.",
            "verdict",
            holds=lambda value: 0 <= value <= 1,
            wrong="the minimum accuracy {} is out of range",
            expected="a fraction from 0 to 1",
        ),
    ] = None


@dataclass(frozen=True)
class Timing(Group):
    """How speed is measured."""

    bench_seconds: Annotated[
        float,
        Option(
            "How long speed may be measured, about.",
            holds=at_least(0),
            wrong="the seconds for timing {} are out of range",
            expected="0 or more",
        ),
    ] = 120.0  # covers every row of the default preset


@dataclass(frozen=True)
class Work(Group):
    """What the work may use of this machine; this changes no results."""

    jobs: Annotated[
        int | None,
        Option(
            "How many jobs at once; by default one a core.",
            "work",
            holds=at_least(1),
            wrong="the number of jobs {} is out of range",
            expected="at least 1",
        ),
    ] = None
    timeout: Annotated[
        float | None,
        Option(
            "End a job after so many seconds; its row fails.",
            "work",
            holds=above(0),
            wrong="the timeout {} is out of range",
            expected="a number above 0",
        ),
    ] = None
    memory_limit: Annotated[
        float | None,
        Option(
            "End a job past so many gigabytes; its row fails.",
            "work",
            holds=above(0),
            wrong="the memory limit {} is out of range",
            expected="a number above 0",
        ),
    ] = None


GROUPS: tuple[type[Group], ...] = (Builds, Calibration, Targets, Metric, Claims, Limits, Flags, Timing, Work)
"""The groups of a comparison."""
