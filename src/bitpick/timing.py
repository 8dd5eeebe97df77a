"""How long builds take: the records of a benchmark, and of a row's speed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

_STRICT = ConfigDict(extra="forbid")


class Latency(BaseModel):
    """How long a build takes for one sample, beside the float32 of its own engine and beside one reference for all.

    A latency ratio is this build's time over the other's: under 1 is faster.

    Attributes:
        p50: median seconds, over the blocks of all processes.
        p90: the 90th percentile.
        ratio_own: to the float32 of the same engine; None for that one.
        ratio_own_interval: at 95%, by a bootstrap over processes, then pairs.
        reference: the row that is the reference of all rows.
        ratio_reference: to the reference; None for that one.
        ratio_reference_interval: at 95%.
        control: the ratio of the reference to itself, in the same processes as this row.
        control_interval: at 95%.
        resolvable: whether this machine can tell: the control's interval holds 1 and is no wider than 5%.
        threads: inside one inference.
        processes: how many fresh processes were timed.
        pairs: how many times, in all of them, a block of this build was timed next to one of each of the others.
    """

    model_config = _STRICT

    p50: float
    p90: float
    ratio_own: float | None = None
    ratio_own_interval: tuple[float, float] | None = None
    reference: str
    ratio_reference: float | None = None
    ratio_reference_interval: tuple[float, float] | None = None
    control: float
    control_interval: tuple[float, float]
    resolvable: bool
    threads: int
    processes: int
    pairs: int

    @property
    def shown(self) -> tuple[float, float] | None:
        """The interval of the ratio to the reference; None for the reference, and where this machine could not tell."""
        return self.ratio_reference_interval if self.resolvable else None


class Throughput(BaseModel):
    """How many samples a build takes in a second, many in one run.

    Attributes:
        batch: samples in one run.
        threads: inside one inference.
        samples_per_second: median over blocks.
    """

    model_config = _STRICT

    batch: int
    threads: int
    samples_per_second: float


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
        p50: median seconds of one run, over the blocks of all processes.
        p90: the 90th percentile.
        ratio: its time over the reference's, under 1 is faster; None for the reference.
        ratio_interval: at 95%.
        verdict: what that shows.
        samples: seconds of one run in each block, a list for each process.
    """

    model_config = _STRICT

    recipe: str
    folder: str
    p50: float
    p90: float
    ratio: float | None = None
    ratio_interval: tuple[float, float] | None = None
    verdict: str | None = None
    samples: list[list[float]]


class BenchRecord(BaseModel):
    """Builds timed beside a reference, in one run.

    Attributes:
        batch: samples in one run.
        threads: inside one inference.
        processes: how many fresh processes were timed.
        pairs: pairs of blocks in each.
        control: the reference's ratio to itself.
        control_interval: its interval at 95%; where it leaves out 1 or is wide, nothing is claimed.
        rows: the reference first.
    """

    model_config = _STRICT

    batch: int
    threads: int
    processes: int
    pairs: int
    control: float
    control_interval: tuple[float, float]
    rows: list[BenchRow]
