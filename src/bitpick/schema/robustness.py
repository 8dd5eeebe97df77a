"""How far a claim holds: over other calibration draws, and on the half of the samples that had no part in a choice."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

_STRICT = ConfigDict(extra="forbid", frozen=True)


class Draw(BaseModel):
    """A build of one recipe from one calibration draw.

    Attributes:
        seed: of the draw.
        correct: predictions that are right, where samples are right or wrong.
        total: how many samples.
        drop: how much worse this build's metric is than the baseline's, in its own unit.
        flips: predictions that differ from the baseline's; None where the task predicts no classes.
    """

    model_config = _STRICT

    seed: int
    correct: int | None = None
    total: int
    drop: float
    flips: int | None = None


class OverDraws(BaseModel):
    """What a recipe loses, whichever calibration samples it is given; `VersusBaseline` is about one file.

    Attributes:
        draws: every draw that was built, the row's own first.
        drop: mean over draws, in the metric's own unit.
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
        drop: the row's drop on the other half, in the metric's own unit.
        drop_interval: at 95%, as that of `VersusBaseline`.
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
