"""What the samples show of rows: which lose less than the margin, with all of them tested at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bitpick.schema.run import Row
from bitpick.selection.judge import OF_METRIC
from bitpick.statistics import max_t, samples_to_show
from bitpick.statistics.distributions import normal_quantile
from bitpick.tasks.task import Answers, Targets, Task


def candidates(rows: Sequence[Row]) -> list[Row]:
    """The rows that could be recommended: quantized, measured, what was asked for, of an engine that has a future.

    A flag that follows from the metric keeps none out: a family of tests that is chosen by what is tested claims more
    than it shows.
    """
    return [
        row
        for row in rows
        if row.kind == "quantized"
        and row.status == "ok"
        and row.deprecated is None
        and all(flag.code in OF_METRIC for flag in row.faults)
    ]


def with_claims(
    rows: Sequence[Row], answers: Mapping[str, Answers], targets: Targets, task: Task, alpha: float
) -> list[Row]:
    """The rows, those that could be recommended with whether they are shown to lose less than the margin.

    All of them are tested at once, by step-down max-T, which knows how alike they are: the chance that any of them is
    wrongly called good enough stays at most `alpha`, whichever of them is chosen afterwards.

    Args:
        rows: the rows of one CPU.
        answers: of each row that is ok, for n samples.
        targets: what is right.
        task: how builds are judged.
        alpha: the one-sided level.
    """
    tested = [row for row in candidates(rows) if row.versus_baseline is not None]
    if not tested:
        return list(rows)
    pairs = [(answers[row.versus_baseline.baseline], answers[row.id]) for row in tested if row.versus_baseline]
    p_values = max_t([score(row) for row in tested], _correlation(task.spread(pairs, targets)))
    claims = {
        row.id: _claim(row, {"noninferior": p <= alpha, "noninferiority_p": p})
        for row, p in zip(tested, p_values, strict=True)
    }
    return [claims.get(row.id) or _claim(row, {"noninferior": None, "noninferiority_p": None}) for row in rows]


def score(row: Row) -> float:
    """How far a row's drop is shown to be under its margin."""
    assert row.versus_baseline is not None
    return row.versus_baseline.score


def samples_needed(row: Row, tests: int, alpha: float) -> int | None:
    """How many samples would show a row to be good enough, as one of so many, if it stays as it is; None: no number."""
    assert row.samples is not None
    return samples_to_show(score(row), row.samples, -normal_quantile(alpha / tests))


def _claim(row: Row, claim: Mapping[str, bool | float | None]) -> Row:
    if row.versus_baseline is None:
        return row
    return row.model_copy(update={"versus_baseline": row.versus_baseline.model_copy(update=claim)})


def _correlation(spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of the columns; a column without any variance is independent of the others."""
    deviations = spread - spread.mean(axis=0)
    lengths = np.sqrt((deviations**2).sum(axis=0))
    normed = deviations / np.where(lengths > 0, lengths, 1)
    correlation: NDArray[np.float64] = normed.T @ normed
    np.fill_diagonal(correlation, 1.0)
    return correlation
