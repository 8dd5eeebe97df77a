"""Which build to ship, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bitpick.comparison.judge import p_value
from bitpick.result import Recommendation, Row

TIE_LEVEL = 0.05


def recommend(
    rows: Sequence[Row], predicted: Mapping[str, NDArray[np.int32]], targets: NDArray[np.int64]
) -> Recommendation:
    """Choose the most accurate quantized row, and say what ties with it.

    Rows that are flagged, or of a deprecated engine, are not chosen. Two rows tie where a McNemar mid-p test does not
    show at 5% that one is right more often.

    Args:
        rows: all rows.
        predicted: the predictions of each row that is ok, classes of shape (n,).
        targets: the true classes, of shape (n,).
    """
    quantized = [row for row in rows if row.kind == "quantized" and row.status == "ok"]
    unflagged = [row for row in quantized if not row.flags]
    good = [row for row in unflagged if row.deprecated is None]
    if not good:
        why = (
            "no quantized build was made"
            if not quantized
            else f"all {len(quantized)} quantized rows are flagged"
            if not unflagged
            else "all rows that are not flagged are of deprecated engines"
        )
        return Recommendation(id=None, because=[f"No build can be recommended: {why}."])
    best = max(good, key=_accuracy_then_size)
    smallest = min(good, key=_size_then_accuracy)
    ties = [row for row in good if p_value(predicted[best.id], predicted[row.id], targets) >= TIE_LEVEL]
    by_use = {"accuracy": best.id, "size": smallest.id}
    for name in dict.fromkeys(row.engine for row in unflagged):
        by_use[name] = max((row for row in unflagged if row.engine == name), key=_accuracy_then_size).id
    return Recommendation(
        id=best.id,
        because=_reasons(best, smallest, ties),
        by_use=by_use,
        ties=[row.id for row in sorted(ties, key=_accuracy_then_size, reverse=True)],
    )


def _reasons(best: Row, smallest: Row, ties: Sequence[Row]) -> list[str]:
    reasons = [f"Most accurate: {best.id} with {_percent(best)}{_beside_baseline(best)}, {_kilobytes(best)}."]
    tied = [row for row in ties if row is not best]
    if tied:
        assert best.accuracy is not None
        others = ", ".join(f"{row.id} ({_percent(row)}, {_kilobytes(row)})" for row in tied)
        reasons.append(
            f"A tie, not a ranking: {best.accuracy.total:,} samples do not show that it is more accurate than {others}."
        )
    else:
        reasons.append("It is shown to be more accurate than every other row.")
    if smallest is best:
        reasons.append("It is also the smallest.")
    else:
        shown = "which ties with it" if smallest in ties else "which is shown to be less accurate"
        reasons.append(f"Smallest: {smallest.id} with {_kilobytes(smallest)} and {_percent(smallest)}, {shown}.")
    return reasons


def _accuracy_then_size(row: Row) -> tuple[int, int]:
    assert row.accuracy is not None
    return row.accuracy.correct, -(row.size_bytes or 0)


def _size_then_accuracy(row: Row) -> tuple[int, int]:
    assert row.accuracy is not None
    return row.size_bytes or 0, -row.accuracy.correct


def _percent(row: Row) -> str:
    assert row.accuracy is not None
    return f"{100 * row.accuracy.value:.2f}%"


def _beside_baseline(row: Row) -> str:
    if row.versus_baseline is None:
        return ""
    drop = 100 * row.versus_baseline.drop
    words = f"{drop:.2f} points under" if drop > 0 else f"{-drop:.2f} points over" if drop < 0 else "the same as"
    return f", {words} its own float32"


def _kilobytes(row: Row) -> str:
    return f"{(row.size_bytes or 0) / 1000:.1f} kB"
