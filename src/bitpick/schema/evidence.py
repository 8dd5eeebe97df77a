"""A build beside another: its float32, other calibration draws, another CPU, no optimisation; and what it costs."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict

_STRICT = ConfigDict(extra="forbid", frozen=True)


class Accuracy(BaseModel):
    """Top-1 accuracy on the evaluation set.

    Attributes:
        correct: samples that are predicted right.
        total: of so many.
        value: their share.
        interval: Wilson's of it, at 95%.
        per_class: the share of each class, by its name.
        top5: share of samples whose class is among the five best scores, where there are more than five.
    """

    model_config = _STRICT

    correct: int
    total: int
    value: float
    interval: tuple[float, float]
    per_class: dict[str, float]
    top5: float | None = None


_LABELS = {
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
    "auc": "AUC",
    "iou": "IoU",
    "macro_auc": "macro AUC",
    "macro_f1": "macro F1",
}


_SHARES = frozenset({"auc", "macro_auc", "macro_f1"})  # from 0 to 1, and not written in percent
_ERRORS = frozenset({"mae", "rmse", "deviation"})


class Measure(BaseModel):
    """What builds are judged by, and how people read it.

    Attributes:
        name: e.g. `accuracy`, `rmse`.
        unit: `fraction` for numbers from 0 to 1, which people read as percent; else the unit itself, or nothing.
        higher_is_better: whether it is.
    """

    model_config = _STRICT

    name: str
    unit: str = "fraction"
    higher_is_better: bool = True

    @property
    def label(self) -> str:
        """Its name as people write it, e.g. `RMSE`."""
        return _LABELS.get(self.name, self.name.replace("_", " "))

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the largest value that it can have."""
        if self.name in _ERRORS:
            return 0.0, math.inf
        if self.unit == "fraction" or self.name in _SHARES:
            return 0.0, 1.0
        return -math.inf, 1.0 if self.name == "r2" else math.inf

    def possible(self, value: float, interval: tuple[float, float]) -> tuple[float, float]:
        """An interval of what is lost, cut to what a build can lose where its float32 has this value."""
        least, largest = self.limits
        low, high = (value - largest, value - least) if self.higher_is_better else (least - value, largest - value)
        return min(max(interval[0], low), high), max(min(interval[1], high), low)

    def told(self, value: float) -> str:
        """A value of it as people read it, e.g. `87.19%` or `0.0312 °C`."""
        return f"{100 * value:.2f}%" if self.unit == "fraction" else f"{self._number(value)} {self.unit}".rstrip()

    def between(self, interval: tuple[float, float]) -> str:
        """An interval of it as people read it, e.g. `86.40% to 87.94%` or `0.0301 to 0.0323 °C`."""
        low, high = map(self.told, interval)
        return f"{low.removesuffix(f' {self.unit}')} to {high}"

    def change(self, drop: float) -> str:
        """A difference of two values as people read it, without its unit: in points, for fractions."""
        return f"{100 * drop + 0.0:.2f}" if self.unit == "fraction" else self._number(drop)

    def _number(self, value: float) -> str:
        return f"{value + 0.0:.4g}"

    def changed(self, drop: float) -> str:
        """A difference of two values with its unit, e.g. `0.44 points`."""
        return f"{self.change(drop)} {self.change_unit}".rstrip()

    @property
    def worsening(self) -> str:
        """What it is called when a build is worse: a drop, or of an error a rise."""
        return "drop" if self.higher_is_better else "rise"

    @property
    def change_unit(self) -> str:
        """The unit of a difference: `points`, or the metric's own."""
        return "points" if self.unit == "fraction" else self.unit

    @property
    def good(self) -> str:
        """What a build that is no worse than another is called."""
        return "accurate" if self.name == "accuracy" else "good"

    def base(self, whose: str) -> str:
        """What a margin in percent is a share of, see `Task.margin_base`, e.g. `the float32's MAE`."""
        return "what the float model gives" if self.name == "deviation" else f"{whose} {self.label}"

    def margin(self, asked: str, whose: str) -> str:
        """A margin as it was asked for, e.g. `1% of the float32's accuracy`, `0.5 points`."""
        return f"{asked} of {self.base(whose)}" if asked.endswith("%") else f"{asked} {self.change_unit}".rstrip()


class Metric(Measure):
    """What a build gets.

    Attributes:
        value: on the evaluation set.
        interval: at 95%.
        of: the output and channel where it is worst, in words, if several are measured.
    """

    value: float
    interval: tuple[float, float] | None = None
    of: str | None = None

    def _number(self, value: float) -> str:
        """With the decimals that four digits of its own value have, so that what is beside it can be compared."""
        size = math.floor(math.log10(abs(self.value))) if self.value else 0
        return f"{value:.4g}" if size < -6 else f"{round(value, max(0, 3 - size)) + 0.0:.{max(0, 3 - size)}f}"

    @property
    def quality(self) -> float:
        """The value, turned round where lower is better."""
        return self.value if self.higher_is_better else -self.value

    @property
    def scale(self) -> float:
        """What a share of it, such as a limit in percent, is a share of."""
        return 1.0 if self.unit == "fraction" else abs(self.value)

    def shown(self, value: float | None = None) -> str:
        """A value of this metric as people read it; by default its own."""
        return self.told(self.value if value is None else value)


class VersusBaseline(BaseModel):
    """A build beside the float32 build of the same engine.

    Attributes:
        baseline: the row compared with.
        drop: how much worse this row's metric is, in the metric's own unit.
        drop_interval: at 95%: of accuracies Tango's score interval, else that of the paired bootstrap.
        flips: evaluation samples whose prediction differs; None where the task predicts no classes.
        only_baseline: evaluation samples that only the baseline gets right, where samples are right or wrong.
        only_row: evaluation samples that only this row gets right.
        p_value: two-sided, of "both are equally good": of accuracies McNemar's mid-p, else by the bootstrap.
        margin: the largest drop that does no harm, in the metric's own unit; set before the run.
        score: how far the drop is shown to be under the margin, in standard errors.
        noninferior: whether the drop is shown to be under the margin; None for rows that cannot be recommended.
        noninferiority_p: the one-sided p-value of that, over all rows that could be recommended at once.
    """

    model_config = _STRICT

    baseline: str
    drop: float
    drop_interval: tuple[float, float]
    flips: int | None = None
    only_baseline: int | None = None
    only_row: int | None = None
    p_value: float
    margin: float
    score: float
    noninferior: bool | None = None
    noninferiority_p: float | None = None


class Fidelity(BaseModel):
    """How alike an output of a row is to its baseline's, whatever the labels say.

    Attributes:
        agreement: share of samples with the same top-1 class; None where the output has no score for each class.
        kl: mean Kullback-Leibler divergence of the row's class probabilities from the baseline's, in nats; likewise.
        sqnr_db: signal of the baseline's output over the noise of the difference, in decibels; None without noise.
        channel: which of its channels differs most, in words; None where it has one alone, or none differs.
        channel_sqnr_db: signal over noise of that channel, in decibels.
    """

    model_config = _STRICT

    agreement: float | None = None
    kl: float | None = None
    sqnr_db: float | None = None
    channel: str | None = None
    channel_sqnr_db: float | None = None


class VersusNative(BaseModel):
    """A build on another CPU beside the same files on this one, on the same samples.

    Attributes:
        samples: how many.
        correct: predictions that are right here, where samples are right or wrong.
        drop: how much worse the metric is there, in its own unit.
        flips: samples whose prediction differs, or whose outputs do noticeably.
    """

    model_config = _STRICT

    samples: int
    correct: int | None = None
    drop: float
    flips: int


class Unoptimized(BaseModel):
    """A build whose runtime was told not to rewrite its graph, beside the same build as it ships.

    Attributes:
        samples: how many were run both ways.
        correct: predictions that are right without the runtime's rewriting, where samples are right or wrong.
        correct_optimized: and with it.
        flips: samples whose prediction differs, or whose outputs do noticeably.
    """

    model_config = _STRICT

    samples: int
    correct: int | None = None
    correct_optimized: int | None = None
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
