"""How long builds take: the records of a benchmark, and of a row's speed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

_STRICT = ConfigDict(extra="forbid", frozen=True)

Clock = Literal["cpu", "wall"]
Verdict = Literal["faster", "slower", "no difference shown", "not resolvable here"]

CLOCKS: dict[Clock, str] = {"cpu": "CPU time", "wall": "wall time"}
# Times within this factor of each other count as alike.
ALIKE = 1.05


def verdict(interval: tuple[float, float] | None) -> Verdict:
    """What the interval of a ratio of times shows, if it is as wide as the control makes it.

    Args:
        interval: at 95%; None where there were too few processes for one.

    Returns:
        A direction where the interval excludes 1; no difference where it ends within 5% of 1 on both sides.
    """
    if interval is None:
        return "not resolvable here"
    low, high = interval
    if high < 1:
        return "faster"
    if low > 1:
        return "slower"
    return "no difference shown" if low * ALIKE >= 1 >= high / ALIKE else "not resolvable here"


class Latency(BaseModel):
    """How long a build takes for one sample, beside the float32 of its own engine and beside one reference for all.

    A latency ratio is this build's time over the other's: under 1 is faster. Both sides of a ratio, and the control,
    are from the same clock.

    Attributes:
        p50: median seconds of wall time, over the blocks of all processes.
        p90: the 90th percentile of wall time.
        cpu_time: seconds of CPU time of the process, of the least disturbed block; a mean over processes.
        clock: what the ratios and the control are from: `cpu`, which other processes hardly disturb, or `wall`.
        clock_reason: why it is wall time; absent with CPU time.
        ratio_own: to the float32 of the same engine; None for that one.
        ratio_own_interval: at 95%, widened by what the control shows.
        ratio_own_wall: the same ratio in wall time, whichever clock decides.
        reference: the row that is the reference of all rows.
        ratio_reference: to the reference; None for that one.
        ratio_reference_interval: at 95%, widened by what the control shows.
        ratio_reference_wall: the same ratio in wall time.
        control: the ratio of the reference to itself, in the same processes as this row.
        control_interval: at 95%.
        threads: inside one inference.
        processes: how many fresh processes were timed.
        pairs: how many times, in all of them, a block of this build was timed next to one of each of the others.
    """

    model_config = _STRICT

    p50: float
    p90: float
    cpu_time: float | None = None
    clock: Clock = "wall"
    clock_reason: str | None = None
    ratio_own: float | None = None
    ratio_own_interval: tuple[float, float] | None = None
    ratio_own_wall: float | None = None
    reference: str
    ratio_reference: float | None = None
    ratio_reference_interval: tuple[float, float] | None = None
    ratio_reference_wall: float | None = None
    control: float
    control_interval: tuple[float, float]
    threads: int
    processes: int
    pairs: int

    @model_validator(mode="before")
    @classmethod
    def _of_an_older_version(cls, fields: Any) -> Any:
        """Older versions wrote intervals that showed nothing, and said so in `resolvable`."""
        if isinstance(fields, dict) and "resolvable" in fields:
            fields = dict(fields)
            if not fields.pop("resolvable"):
                fields |= {"ratio_own_interval": None, "ratio_reference_interval": None}
        return fields

    @property
    def time(self) -> float:
        """Seconds for one sample by the clock that the ratios are from: of the least disturbed block, or the median."""
        return self.cpu_time if self.clock == "cpu" and self.cpu_time is not None else self.p50


class Throughput(BaseModel):
    """How many samples a build takes in a second, many in one run.

    Attributes:
        batch: samples in one run.
        threads: inside one inference.
        samples_per_second: of the least disturbed run in CPU time; of the median one in wall time.
        clock: what a second is: of CPU time, or of wall time.
    """

    model_config = _STRICT

    batch: int
    threads: int
    samples_per_second: float
    clock: Clock = "wall"


class SpeedRecord(BaseModel):
    """How the speed of a run's rows was measured.

    Attributes:
        reference: the row that all are compared with.
        budget_seconds: what was allowed for it.
        seconds: what it took.
        untimed: rows that have no latency, each with why.
    """

    model_config = _STRICT

    reference: str
    budget_seconds: float
    seconds: float
    untimed: dict[str, str] = {}


class Device(BaseModel):
    """The device that an imported row was measured on, and how long it takes there, with no other build beside it.

    Attributes:
        cpu: its CPU, as far as it tells.
        platform: its operating system.
        versions: of the libraries that ran the build.
        results_sha256: SHA-256 of the file that was imported.
        p50: median seconds of one run; None where no times came with the results.
        p90: the 90th percentile.
        runs: how many were timed.
        batch: samples in one run.
        threads: inside one inference.
    """

    model_config = _STRICT

    cpu: str
    platform: str
    versions: dict[str, str]
    results_sha256: str
    p50: float | None = None
    p90: float | None = None
    runs: int = 0
    batch: int = 1
    threads: int = 1


class BenchRow(BaseModel):
    """How fast one build is.

    Attributes:
        recipe: its recipe.
        folder: where it is.
        p50: median seconds of one run in wall time, over the blocks of all processes.
        p90: the 90th percentile of wall time.
        cpu_time: seconds of CPU time of the process, of the least disturbed block; a mean over processes.
        clock: what the ratio is from: `cpu` or `wall`.
        clock_reason: why it is wall time; None with CPU time.
        ratio: its time over the reference's, under 1 is faster; None for the reference.
        ratio_interval: at 95%, widened by what the control shows; None where there was one process alone.
        ratio_wall: the same ratio in wall time, whichever clock decides.
        verdict: what the interval shows.
        samples: seconds of wall time of one run in each block, a list for each process.
        cpu_samples: the same in CPU time.
    """

    model_config = _STRICT

    recipe: str
    folder: str
    p50: float
    p90: float
    cpu_time: float
    clock: Clock
    clock_reason: str | None = None
    ratio: float | None = None
    ratio_interval: tuple[float, float] | None = None
    ratio_wall: float | None = None
    verdict: Verdict | None = None
    samples: list[list[float]]
    cpu_samples: list[list[float]]


class BenchRecord(BaseModel):
    """Builds timed beside a reference, in one run.

    Attributes:
        batch: samples in one run.
        threads: inside one inference.
        processes: how many fresh processes were timed.
        pairs: pairs of blocks in each.
        clock: what the control is from: the clock of the reference.
        control: the reference's ratio to itself.
        control_interval: its interval at 95%; None where there was one process alone.
        control_wall: the same ratio in wall time.
        control_wall_interval: its interval, which widens those of rows that are from wall time.
        rows: the reference first.
    """

    model_config = _STRICT

    batch: int
    threads: int
    processes: int
    pairs: int
    clock: Clock
    control: float
    control_interval: tuple[float, float] | None
    control_wall: float
    control_wall_interval: tuple[float, float] | None
    rows: list[BenchRow]
