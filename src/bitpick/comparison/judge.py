"""A row beside its baseline: drop, flips, size, flags."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bitpick.errors import RequestError
from bitpick.evidence import VersusBaseline, VersusNative
from bitpick.recipe import baseline
from bitpick.result import Flag, RequestRecord, Row
from bitpick.statistics import mcnemar_midp, tango_interval

# The flags that follow from a row's accuracy and its baseline's; the others come with its measurements.
_OURS = frozenset({"drop", "min_accuracy"})


def p_value(first: NDArray[np.int32], second: NDArray[np.int32], targets: NDArray[np.int64]) -> float:
    """McNemar mid-p of "both are right equally often", for predictions of shape (n,)."""
    return mcnemar_midp(*discordant(first, second, targets))


def discordant(first: NDArray[np.int32], second: NDArray[np.int32], targets: NDArray[np.int64]) -> tuple[int, int]:
    """How many samples only the first gets right, and only the second; predictions of shape (n,)."""
    right, also = first == targets, second == targets
    return int((right & ~also).sum()), int((also & ~right).sum())


def margin_of(text: str, accuracy: float) -> float:
    """The margin that a text says, as a fraction: `1%` of an accuracy, or `0.5` points.

    Raises:
        RequestError: it says none, or one that is not above 0.
    """
    share = text.endswith("%")
    try:
        value = float(text.removesuffix("%")) / 100
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise RequestError(
            f"the margin {text!r} is no margin", expected="a share of the baseline's accuracy, as 1%, or points, as 0.5"
        )
    return value * accuracy if share else value


def on_target(
    row: Row,
    predicted: NDArray[np.int32],
    native: NDArray[np.int32],
    targets: NDArray[np.int64],
    saturates: bool,
) -> Row:
    """A row of another CPU with what follows from its predictions and the same files' on this one.

    Args:
        row: a row that is ok.
        predicted: what the build predicts there, classes of shape (n,).
        native: what it predicts here, of the same shape.
        targets: the true classes.
        saturates: whether sums that saturate are what makes a difference there.
    """
    assert row.accuracy is not None
    correct = int((native == targets).sum())
    flips = int((predicted != native).sum())
    drop = (correct - row.accuracy.correct) / len(targets)
    versus = VersusNative(samples=len(targets), correct=correct, drop=drop, flips=flips)
    flags = []
    if flips:
        change = (
            "as many are right" if drop == 0 else f"{100 * abs(drop):.1f} points {'lost' if drop > 0 else 'gained'}"
        )
        what = f"{flips} of {len(targets):,} predictions differ from those on this CPU, {change}"
        why = ": sums of 8-bit products saturate on x86 CPUs without VNNI" if saturates else ""
        flags.append(Flag(code="saturates" if saturates else "differs", text=what + why))
    return row.model_copy(update={"versus_native": versus, "flags": flags})


def judge(
    row: Row,
    rows: Mapping[str, Row],
    predicted: Mapping[str, NDArray[np.int32]],
    targets: NDArray[np.int64],
    request: RequestRecord,
) -> Row:
    """A row with all that follows from its own measurements and its baseline's.

    Args:
        row: a row that is ok.
        rows: the rows known so far, by id.
        predicted: their predictions.
        targets: the true classes, of shape (n,).
        request: says which drops and accuracies are flagged.
    """
    assert row.accuracy is not None
    own = rows.get(baseline(row.engine).id)
    versus, ratio = None, None
    flags = [flag for flag in row.flags if flag.code not in _OURS]
    if own is not None and own.accuracy is not None and row.kind != "baseline":
        drop = (own.accuracy.correct - row.accuracy.correct) / row.accuracy.total
        lost, won = discordant(predicted[own.id], predicted[row.id], targets)
        versus = VersusBaseline(
            baseline=own.id,
            drop=drop,
            drop_interval=tango_interval(lost, won, row.accuracy.total),
            flips=int((predicted[own.id] != predicted[row.id]).sum()),
            only_baseline=lost,
            only_row=won,
            p_value=mcnemar_midp(lost, won),
            margin=margin_of(request.margin, own.accuracy.value),
        )
        if row.size_bytes and own.size_bytes:
            ratio = row.size_bytes / own.size_bytes
        if drop > request.flag_drop:
            flags.append(
                Flag(
                    code="drop",
                    text=f"loses {100 * drop:.2f} points, more than the {100 * request.flag_drop:g} allowed",
                )
            )
    if request.min_accuracy is not None and row.accuracy.value < request.min_accuracy:
        text = f"{100 * row.accuracy.value:.2f}% is under the {100 * request.min_accuracy:g}% asked for"
        flags.append(Flag(code="min_accuracy", text=text))
    return row.model_copy(update={"versus_baseline": versus, "size_ratio": ratio, "flags": flags})
