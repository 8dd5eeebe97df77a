"""The measurements of a build, alone and against other builds: the float32, another CPU, an unoptimized graph."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict

from bitpick.schema.numbers import Count, Share

_STRICT = ConfigDict(extra="forbid", frozen=True)


class Accuracy(BaseModel):
    """Top-1 accuracy on the evaluation set.

    Attributes:
        correct: number of correct predictions.
        total: number of samples.
        value: the share of correct predictions.
        interval: Wilson's 95% interval of the share.
        per_class: the accuracy of each class, by its name.
        top5: share of samples whose class has one of the five best scores, if there are more than five classes.
    """

    model_config = _STRICT

    correct: Count
    total: Count
    value: Share
    interval: tuple[float, float]
    per_class: dict[str, Share]
    top5: Share | None = None


_LABELS = {
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
    "auc": "AUC",
    "iou": "IoU",
    "macro_auc": "macro AUC",
    "macro_f1": "macro F1",
}


_SHARES = frozenset({"auc", "macro_auc", "macro_f1"})  # from 0 to 1, but not written in percent
_ERRORS = frozenset({"mae", "rmse", "deviation"})


class Measure(BaseModel):
    """A metric that builds are judged by, and how to format it.

    Attributes:
        name: e.g. `accuracy`, `rmse`.
        unit: `fraction` for numbers from 0 to 1 that are shown in percent; else the unit itself, or nothing.
        higher_is_better: whether a higher value is better.
    """

    model_config = _STRICT

    name: str
    unit: str = "fraction"
    higher_is_better: bool = True

    @property
    def label(self) -> str:
        """The name to show, e.g. `RMSE`."""
        return _LABELS.get(self.name, self.name.replace("_", " "))

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest possible value."""
        if self.name in _ERRORS:
            return 0.0, math.inf
        if self.unit == "fraction" or self.name in _SHARES:
            return 0.0, 1.0
        return -math.inf, 1.0 if self.name == "r2" else math.inf

    def possible(self, value: float, interval: tuple[float, float]) -> tuple[float, float]:
        """Clip an interval of a drop to what a build can lose if its float32 has this value."""
        least, largest = self.limits
        low, high = (value - largest, value - least) if self.higher_is_better else (least - value, largest - value)
        return min(max(interval[0], low), high), max(min(interval[1], high), low)

    def formatted(self, value: float) -> str:
        """Format a value with its unit, e.g. `87.19%` or `0.0312 °C`."""
        return f"{100 * value:.2f}%" if self.unit == "fraction" else f"{self._number(value)} {self.unit}".rstrip()

    def between(self, interval: tuple[float, float]) -> str:
        """Format an interval of values, e.g. `86.40% to 87.94%` or `0.0301 to 0.0323 °C`."""
        low, high = map(self.formatted, interval)
        return f"{low.removesuffix(f' {self.unit}')} to {high}"

    def change(self, drop: float) -> str:
        """Format a difference of two values without its unit; for fractions, in points."""
        return f"{100 * drop + 0.0:.2f}" if self.unit == "fraction" else self._number(drop)

    def _number(self, value: float) -> str:
        return f"{value + 0.0:.4g}"

    def changed(self, drop: float) -> str:
        """Format a difference of two values with its unit, e.g. `0.44 points`."""
        return f"{self.change(drop)} {self.change_unit}".rstrip()

    @property
    def worsening(self) -> str:
        """The word for getting worse: `drop`, or `rise` for errors."""
        return "drop" if self.higher_is_better else "rise"

    @property
    def change_unit(self) -> str:
        """The unit of a difference: `points`, or the metric's own."""
        return "points" if self.unit == "fraction" else self.unit

    @property
    def good(self) -> str:
        """The adjective for a build that is no worse than another."""
        return "accurate" if self.name == "accuracy" else "good"

    def base(self, whose: str) -> str:
        """Name what a margin in percent is a share of, see `Task.margin_base`, e.g. `the float32's MAE`."""
        return "what the float model gives" if self.name == "deviation" else f"{whose} {self.label}"

    def margin(self, asked: str, whose: str) -> str:
        """Spell out a requested margin, e.g. `1% of the float32's accuracy`, `0.5 points`."""
        return f"{asked} of {self.base(whose)}" if asked.endswith("%") else f"{asked} {self.change_unit}".rstrip()


class Metric(Measure):
    """The value of a metric for a build.

    Attributes:
        value: on the evaluation set.
        interval: at 95%.
        of: the output and channel with the worst value, in words, if several are measured.
    """

    value: float
    interval: tuple[float, float] | None = None
    of: str | None = None

    def _number(self, value: float) -> str:
        """Format with as many decimals as four digits of the value itself have, so that numbers line up."""
        size = math.floor(math.log10(abs(self.value))) if self.value else 0
        return f"{value:.4g}" if size < -6 else f"{round(value, max(0, 3 - size)) + 0.0:.{max(0, 3 - size)}f}"

    @property
    def quality(self) -> float:
        """The value, negated if lower is better."""
        return self.value if self.higher_is_better else -self.value

    @property
    def scale(self) -> float:
        """What a limit in percent is a share of."""
        return 1.0 if self.unit == "fraction" else abs(self.value)

    def shown(self, value: float | None = None) -> str:
        """Format a value of this metric with its unit; by default its own value."""
        return self.formatted(self.value if value is None else value)


class VersusBaseline(BaseModel):
    """A build against the float32 build of the same engine.

    Attributes:
        baseline: id of the float32 row.
        drop: how much worse this row's metric is, in the metric's unit.
        drop_interval: at 95%: Tango's score interval for accuracies, else from the paired bootstrap.
        flips: number of evaluation samples whose prediction differs; None if the task predicts no classes.
        only_baseline: number of evaluation samples that only the baseline gets right, if samples are right or wrong.
        only_row: number of evaluation samples that only this row gets right.
        p_value: two-sided, of "both are equally good": McNemar's mid-p for accuracies, else from the bootstrap.
        margin: the largest acceptable drop, in the metric's unit; set before the run.
        score: the evidence that the drop is under the margin, in standard errors.
        noninferior: whether the drop is shown to be under the margin; None for rows that cannot be recommended.
        noninferiority_p: its one-sided p-value, adjusted for all rows that could be recommended.
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


class VersusUnprepared(BaseModel):
    """A build from a prepared graph against the build of the same recipe without passes.

    Attributes:
        row: id of the row without passes.
        gain: how much better this row's metric is, in the metric's unit.
        gain_interval: at 95%, as `VersusBaseline.drop_interval`.
        p_value: two-sided, of "both are equally good", as `VersusBaseline.p_value`.
    """

    model_config = _STRICT

    row: str
    gain: float
    gain_interval: tuple[float, float]
    p_value: float


class Fidelity(BaseModel):
    """How close an output of a row is to its baseline's, regardless of the labels.

    Attributes:
        agreement: share of samples with the same top-1 class; None if the output has no score for each class.
        kl: mean Kullback-Leibler divergence of the row's class probabilities from the baseline's, in nats; None if the
            output has no score for each class.
        sqnr_db: signal of the baseline's output over the noise of the difference, in decibels; None without noise.
        channel: the channel that differs most, in words; None if there is only one, or none differs.
        channel_sqnr_db: signal over noise of that channel, in decibels.
    """

    model_config = _STRICT

    agreement: float | None = None
    kl: float | None = None
    sqnr_db: float | None = None
    channel: str | None = None
    channel_sqnr_db: float | None = None


class VersusNative(BaseModel):
    """A build on another CPU against the same files on this one, on the same samples.

    Attributes:
        samples: number of samples.
        correct: number of correct predictions on this CPU, if samples are right or wrong.
        drop: how much worse the metric is on the other CPU, in the metric's unit.
        flips: number of samples whose prediction differs, or whose outputs differ noticeably.
    """

    model_config = _STRICT

    samples: int
    correct: int | None = None
    drop: float
    flips: int


class Unoptimized(BaseModel):
    """A build run without its runtime's graph optimizations, against the same build as it ships.

    Attributes:
        samples: number of samples run both ways.
        correct: number of correct predictions without the optimizations, if samples are right or wrong.
        correct_optimized: number of correct predictions with them.
        flips: number of samples whose prediction differs, or whose outputs differ noticeably.
    """

    model_config = _STRICT

    samples: int
    correct: int | None = None
    correct_optimized: int | None = None
    flips: int


FindingCode = Literal["unfused", "float_operators", "transposes", "stored_twice", "container", "slow_kernels"]


class Finding(BaseModel):
    """Something that makes a build slow or big, read from its graph and its files.

    Attributes:
        code: the kind of finding.
        about: what it costs: `slow` for time, `big` for bytes.
        text: the finding, in words.
        nodes: type and name of each operator concerned, as the runtime executes them.
        mend: how to fix it, in words; empty if it cannot be fixed.
    """

    model_config = _STRICT

    code: FindingCode
    about: Literal["slow", "big"]
    text: str
    nodes: list[str] = []
    mend: str = ""
