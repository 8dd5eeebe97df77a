"""A build beside another: its float32, other calibration draws, another CPU, no optimisation; and what it costs."""

from __future__ import annotations

from typing import Literal

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


FindingCode = Literal["unfused", "float_operators", "transposes", "stored_twice", "container", "slow_kernels"]


class Finding(BaseModel):
    """Something that makes a build slow or big, as far as its graph and its files show it.

    Attributes:
        code: what kind of thing.
        about: what it costs: time or bytes.
        text: what was found, in words.
        nodes: type and name of each operator concerned, as the runtime executes them.
        mend: what to change, in words; empty where nothing can be.
    """

    model_config = _STRICT

    code: FindingCode
    about: Literal["slow", "big"]
    text: str
    nodes: list[str] = []
    mend: str = ""


class Draw(BaseModel):
    """A build of one recipe from one calibration draw.

    Attributes:
        seed: of the draw.
        correct: predictions that are right.
        total: of so many.
        drop: the baseline's accuracy minus this build's, as a fraction.
        flips: predictions that differ from the baseline's.
    """

    model_config = _STRICT

    seed: int
    correct: int
    total: int
    drop: float
    flips: int


class OverDraws(BaseModel):
    """What a recipe loses, whichever calibration samples it is given; `VersusBaseline` is about one file.

    Attributes:
        draws: every draw that was built, the row's own first.
        drop: mean over draws, as a fraction.
        drop_interval: at 95%, over draws and evaluation samples.
        noninferior: whether the recipe's drop is shown to be under the margin, at the run's level, tested alone.
        failed: why a draw is missing, by its seed.
    """

    model_config = _STRICT

    draws: list[Draw]
    drop: float
    drop_interval: tuple[float, float]
    noninferior: bool
    failed: dict[int, str] = {}


class Fold(BaseModel):
    """A build that one half of the evaluation set chose, on the other half.

    Attributes:
        chosen: the row; None where its half shows no build to be good enough.
        choosing: samples of the half that chose.
        judging: samples of the other half.
        drop: the row's drop on the other half, as a fraction.
        drop_interval: Tango's score interval of it at 95%.
        noninferiority_p: the one-sided p-value there of the drop being under the margin, of this one row.
        confirmed: whether that is at most the run's level.
    """

    model_config = _STRICT

    chosen: str | None = None
    choosing: int
    judging: int
    drop: float | None = None
    drop_interval: tuple[float, float] | None = None
    noninferiority_p: float | None = None
    confirmed: bool = False
