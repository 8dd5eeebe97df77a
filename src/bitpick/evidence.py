"""A build beside another: its float32, the same files on another CPU or without optimisation, another build's speed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

_STRICT = ConfigDict(extra="forbid")


class VersusBaseline(BaseModel):
    """A build beside the float32 build of the same engine.

    Attributes:
        baseline: the row compared with.
        drop: baseline's accuracy minus this row's, as a fraction.
        drop_interval: Tango's score interval of the drop at 95%.
        flips: evaluation samples whose prediction differs.
        only_baseline: evaluation samples that only the baseline gets right.
        only_row: evaluation samples that only this row gets right.
        p_value: two-sided McNemar mid-p of "both are right equally often".
        margin: the largest drop that does no harm, as a fraction; set before the run.
        noninferior: whether the drop is shown to be under the margin; None for rows that cannot be recommended.
        noninferiority_p: the one-sided p-value of that, over all rows that could be recommended at once.
    """

    model_config = _STRICT

    baseline: str
    drop: float
    drop_interval: tuple[float, float]
    flips: int
    only_baseline: int
    only_row: int
    p_value: float
    margin: float
    noninferior: bool | None = None
    noninferiority_p: float | None = None


class Fidelity(BaseModel):
    """How alike a row's scores are to its baseline's, whatever the labels say.

    Attributes:
        agreement: share of samples with the same top-1 class.
        kl: mean Kullback-Leibler divergence of the row's class probabilities from the baseline's, in nats.
        sqnr_db: signal of the baseline's scores over the noise of the difference, in decibels; None without noise.
    """

    model_config = _STRICT

    agreement: float
    kl: float
    sqnr_db: float | None = None


class VersusNative(BaseModel):
    """A build on another CPU beside the same files on this one, on the same samples.

    Attributes:
        samples: how many.
        correct: predictions that are right here.
        drop: accuracy here minus accuracy there, as a fraction.
        flips: predictions that differ.
    """

    model_config = _STRICT

    samples: int
    correct: int
    drop: float
    flips: int


class Unoptimized(BaseModel):
    """A build whose runtime was told not to rewrite its graph, beside the same build as it ships, where they differ.

    Attributes:
        samples: how many were run both ways.
        correct: predictions that are right without the runtime's rewriting.
        correct_optimized: and with it.
        flips: predictions that differ.
    """

    model_config = _STRICT

    samples: int
    correct: int
    correct_optimized: int
    flips: int


class BenchRow(BaseModel):
    """How fast one build is.

    Attributes:
        recipe: its recipe.
        folder: where it is.
        p50: median seconds of one run, over the blocks of all processes.
        p90: the 90th percentile.
        ratio: how many times as fast as the reference, above 1 is faster; None for the reference.
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
