"""The records of speed: of a row, of a run, and of a benchmark."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveInt, model_validator

from bitpick.schema.numbers import Count, Seconds

_STRICT = ConfigDict(extra="forbid", frozen=True)

Clock = Literal["cpu", "wall"]
Verdict = Literal["faster", "slower", "no difference shown", "not resolvable here"]

CLOCKS: dict[Clock, str] = {"cpu": "CPU time", "wall": "wall time"}
# Times within this factor of each other count as equal.
ALIKE = 1.05


def verdict(interval: tuple[float, float] | None) -> Verdict:
    """Return what the interval of a time ratio shows; the control has already widened it.

    Args:
        interval: at 95%; None if there were too few processes for one.

    Returns:
        A direction if the interval excludes 1; no difference if both of its ends are within 5% of 1.
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
    """How long a build takes for one sample, against its engine's float32 and against one reference for all rows.

    A latency ratio is this build's time over the other's: under 1 is faster. Both sides of a ratio, and the control,
    use the same clock.

    Attributes:
        p50: median wall time in seconds, over the blocks of all processes.
        p90: 90th percentile of wall time in seconds.
        cpu_time: CPU time of the process in seconds, of the least disturbed block; a mean over processes.
        clock: the clock of the ratios and the control: `cpu`, which other processes hardly disturb, or `wall`.
        clock_reason: why it is wall time; absent with CPU time.
        ratio_own: to the float32 of the same engine; None for that float32.
        ratio_own_interval: at 95%, widened by the control.
        ratio_own_wall: the same ratio in wall time, whichever clock decides.
        reference: id of the reference row.
        ratio_reference: to the reference; None for the reference.
        ratio_reference_interval: at 95%, widened by the control.
        ratio_reference_wall: the same ratio in wall time.
        control: the ratio of the reference to itself, in the same processes as this row.
        control_interval: at 95%.
        threads: threads inside one inference.
        processes: number of fresh processes.
        pairs: how many times, over all processes, a block of this build was timed next to one of each other build.
    """

    model_config = _STRICT

    p50: Seconds
    p90: Seconds
    cpu_time: Seconds | None = None
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
    threads: PositiveInt
    processes: PositiveInt
    pairs: PositiveInt

    @model_validator(mode="before")
    @classmethod
    def _of_an_older_version(cls, fields: Any) -> Any:
        """Drop the intervals that older versions marked as showing nothing with `resolvable`."""
        if isinstance(fields, dict) and "resolvable" in fields:
            fields = dict(fields)
            if not fields.pop("resolvable"):
                fields |= {"ratio_own_interval": None, "ratio_reference_interval": None}
        return fields

    @property
    def time(self) -> float:
        """Seconds for one sample on the clock of the ratios: of the least disturbed block, or the median."""
        return self.cpu_time if self.clock == "cpu" and self.cpu_time is not None else self.p50


class Throughput(BaseModel):
    """How many samples a build processes in a second, with many in one run.

    Attributes:
        batch: samples in one run.
        threads: threads inside one inference.
        samples_per_second: of the least disturbed run in CPU time; of the median run in wall time.
        clock: the clock of these seconds: CPU time or wall time.
    """

    model_config = _STRICT

    batch: PositiveInt
    threads: PositiveInt
    samples_per_second: NonNegativeFloat
    clock: Clock = "wall"


class SpeedRecord(BaseModel):
    """How the speed of a run's rows was measured.

    Attributes:
        reference: id of the row that all rows are compared with.
        budget_seconds: the time allowed for it.
        seconds: the time that it took.
        untimed: the reason why a row has no latency, by row id.
    """

    model_config = _STRICT

    reference: str
    budget_seconds: Seconds
    seconds: Seconds
    untimed: dict[str, str] = {}


class Device(BaseModel):
    """The device that an imported row was measured on, and the build's own time there.

    Attributes:
        cpu: its CPU, as far as the device reports it.
        platform: its operating system.
        versions: of the libraries that ran the build.
        results_sha256: SHA-256 of the imported file.
        p50: median seconds of one run; None if the results have no times.
        p90: 90th percentile of the seconds of one run.
        runs: number of timed runs.
        batch: samples in one run.
        threads: threads inside one inference.
    """

    model_config = _STRICT

    cpu: str
    platform: str
    versions: dict[str, str]
    results_sha256: str
    p50: Seconds | None = None
    p90: Seconds | None = None
    runs: Count = 0
    batch: PositiveInt = 1
    threads: PositiveInt = 1


class BenchRow(BaseModel):
    """How fast one build is.

    Attributes:
        recipe: its recipe.
        folder: its directory.
        p50: median wall time of one run in seconds, over the blocks of all processes.
        p90: 90th percentile of wall time in seconds.
        cpu_time: CPU time of the process in seconds, of the least disturbed block; a mean over processes.
        clock: the clock of the ratio: `cpu` or `wall`.
        clock_reason: why it is wall time; None with CPU time.
        ratio: its time over the reference's, under 1 is faster; None for the reference.
        ratio_interval: at 95%, widened by the control; None with only one process.
        ratio_wall: the same ratio in wall time, whichever clock decides.
        verdict: what the interval shows.
        samples: wall time of one run in seconds, for each block; a list for each process.
        cpu_samples: the same in CPU time.
    """

    model_config = _STRICT

    recipe: str
    folder: str
    p50: Seconds
    p90: Seconds
    cpu_time: Seconds
    clock: Clock
    clock_reason: str | None = None
    ratio: float | None = None
    ratio_interval: tuple[float, float] | None = None
    ratio_wall: float | None = None
    verdict: Verdict | None = None
    samples: list[list[float]]
    cpu_samples: list[list[float]]


class BenchRecord(BaseModel):
    """Builds timed against a reference, in one run.

    Attributes:
        batch: samples in one run.
        threads: threads inside one inference.
        processes: number of fresh processes.
        pairs: pairs of blocks in each process.
        clock: the clock of the reference, and of the control.
        control: the reference's ratio to itself.
        control_interval: its interval at 95%; None with only one process.
        control_wall: the same ratio in wall time.
        control_wall_interval: its interval, which widens those of rows with wall time.
        rows: the reference first.
    """

    model_config = _STRICT

    batch: PositiveInt
    threads: PositiveInt
    processes: PositiveInt
    pairs: PositiveInt
    clock: Clock
    control: float
    control_interval: tuple[float, float] | None
    control_wall: float
    control_wall_interval: tuple[float, float] | None
    rows: list[BenchRow]
