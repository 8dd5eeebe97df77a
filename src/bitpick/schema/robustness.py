"""How far a claim holds: over other calibration draws, and on samples that were not used to choose."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

_STRICT = ConfigDict(extra="forbid", frozen=True)


class Draw(BaseModel):
    """A build of one recipe from one calibration draw.

    Attributes:
        seed: of the draw.
        correct: number of correct predictions, if samples are right or wrong.
        total: number of samples.
        drop: how much worse this build's metric is than the baseline's, in the metric's unit.
        flips: number of predictions that differ from the baseline's; None if the task predicts no classes.
    """

    model_config = _STRICT

    seed: int
    correct: int | None = None
    total: int
    drop: float
    flips: int | None = None


class OverDraws(BaseModel):
    """What a recipe loses over several calibration draws; `VersusBaseline` is about a single file.

    Attributes:
        draws: every draw that was built, the row's own first.
        drop: mean over draws, in the metric's unit.
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
    """A build chosen on one half of the evaluation set and judged on the other half.

    Attributes:
        chosen: id of the row; None if the first half shows no build to be good enough.
        choosing: number of samples in the half that chose.
        judging: number of samples in the other half.
        drop: the row's drop on the other half, in the metric's unit.
        drop_interval: at 95%, as in `VersusBaseline`.
        noninferiority_p: one-sided p-value, on the other half, of the drop being under the margin, for this row alone.
        confirmed: whether that p-value is at most the run's level.
    """

    model_config = _STRICT

    chosen: str | None = None
    choosing: int
    judging: int
    drop: float | None = None
    drop_interval: tuple[float, float] | None = None
    noninferiority_p: float | None = None
    confirmed: bool = False
