"""Which build to ship, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bitpick.comparison.judge import p_value
from bitpick.result import Recommendation, Row

TIE_LEVEL = 0.05
# Among rows that tie in accuracy, sizes within this share of the smallest count as equal.
SIZE_SLACK = 0.10


def recommend(
    rows: Sequence[Row], predicted: Mapping[str, NDArray[np.int32]], targets: NDArray[np.int64]
) -> Recommendation:
    """Choose the build to ship, and say what ties with it.

    Two rows tie where a McNemar mid-p test does not show at 5% that one is right more often. Of the rows that tie with
    the most accurate one, those within 10% of the smallest remain, and of these the most accurate is chosen. Rows that
    are flagged, or of a deprecated engine, are not chosen.

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
    ties = [row for row in good if _tie(best, row, predicted, targets)]
    least = min(row.size_bytes or 0 for row in ties)
    pick = max((row for row in ties if (row.size_bytes or 0) <= least * (1 + SIZE_SLACK)), key=_accuracy_then_size)
    engines = {
        name: max((row for row in unflagged if row.engine == name), key=_accuracy_then_size)
        for name in dict.fromkeys(row.engine for row in unflagged)
    }
    reasons = [f"Most accurate: {_words(best)}{_beside_baseline(best)}."]
    tied = [row for row in ties if row is not best]
    assert best.accuracy is not None
    if tied:
        others = ", ".join(_words(row) for row in tied)
        reasons.append(
            f"A tie, not a ranking: {best.accuracy.total:,} samples do not show that it is more accurate than {others}."
        )
    elif len(good) > 1:
        reasons.append("It is shown to be more accurate than every other row that can be recommended.")
    if pick is not best:
        reasons.append(f"Of these {_words(pick)} is the one to ship: the most accurate within 10% of the smallest.")
    reasons += [
        f"Not recommended, though at least as accurate: {_words(row)}: {row.deprecated or row.flags[0].text}."
        for row in quantized
        if row not in good and _accuracy(row) >= _accuracy(best)
    ]
    if smallest is pick:
        reasons.append(f"{'It' if pick is best else pick.id} is also the smallest of all.")
    else:
        shown = "which ties with it in accuracy" if smallest in ties else "which is shown to be less accurate"
        reasons.append(f"Smallest: {_words(smallest)}, {shown}.")
    reasons += [
        f"Best of {name}: {_words(row)}{_beside_baseline(row)}." for name, row in engines.items() if row is not best
    ]
    return Recommendation(
        id=pick.id,
        because=reasons,
        by_use={"accuracy": best.id, "size": smallest.id} | {name: row.id for name, row in engines.items()},
        ties=[row.id for row in sorted(ties, key=_accuracy_then_size, reverse=True)],
    )


def _tie(best: Row, row: Row, predicted: Mapping[str, NDArray[np.int32]], targets: NDArray[np.int64]) -> bool:
    return p_value(predicted[best.id], predicted[row.id], targets) >= TIE_LEVEL


def _accuracy(row: Row) -> int:
    assert row.accuracy is not None
    return row.accuracy.correct


def _words(row: Row) -> str:
    return f"{row.id} ({_percent(row)}, {_kilobytes(row)})"


def _accuracy_then_size(row: Row) -> tuple[int, int]:
    return _accuracy(row), -(row.size_bytes or 0)


def _size_then_accuracy(row: Row) -> tuple[int, int]:
    return row.size_bytes or 0, -_accuracy(row)


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
