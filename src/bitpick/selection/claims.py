"""Test all rows at once: which are shown to lose less than the margin?"""

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
    """Return the rows that could be recommended: quantized, ok, without faults, and of a supported engine.

    Flags that follow from the metric keep no row out: choosing which rows to test by what is tested would claim too
    much.
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
    """Return the rows; candidates get a claim on whether they are shown to lose less than the margin.

    All candidates are tested at once by step-down max-T, which accounts for their correlation: the chance that any of
    them is wrongly called good enough is at most `alpha`, whichever is chosen afterwards.

    Args:
        rows: the rows of one CPU.
        answers: answers of each row that is ok, for n samples.
        targets: the targets.
        task: how builds are judged.
        alpha: the one-sided level.
    """
    tested = [row for row in candidates(rows) if row.versus_baseline is not None]
    if not tested:
        return list(rows)
    pairs = [(answers[row.versus_baseline.baseline], answers[row.id]) for row in tested if row.versus_baseline]
    p_values = max_t([score(row) for row in tested], _correlation(task.spread(pairs, targets)))
    claims = {
        row.id: _claim(row, {"noninferior": p_value <= alpha, "noninferiority_p": p_value})
        for row, p_value in zip(tested, p_values, strict=True)
    }
    return [claims.get(row.id) or _claim(row, {"noninferior": None, "noninferiority_p": None}) for row in rows]


def score(row: Row) -> float:
    """Return the test score of a row: how far its drop is under its margin."""
    assert row.versus_baseline is not None
    return row.versus_baseline.score


def samples_needed(row: Row, tests: int, alpha: float) -> int | None:
    """Return how many samples would show a row, one of `tests`, to be good enough at this drop; None if none would."""
    assert row.samples is not None
    return samples_to_show(score(row), row.samples, -normal_quantile(alpha / tests))


def _claim(row: Row, claim: Mapping[str, bool | float | None]) -> Row:
    if row.versus_baseline is None:
        return row
    return row.model_copy(update={"versus_baseline": row.versus_baseline.model_copy(update=claim)})


def _correlation(spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation of the columns; a constant column counts as independent of the others."""
    deviations = spread - spread.mean(axis=0)
    lengths = np.sqrt((deviations**2).sum(axis=0))
    normed = deviations / np.where(lengths > 0, lengths, 1)
    correlation: NDArray[np.float64] = normed.T @ normed
    np.fill_diagonal(correlation, 1.0)
    return correlation
