"""Rows of made-up predictions, judged beside a baseline that is always right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bitpick.recipe import baseline
from bitpick.schema.run import Recommendation, RequestRecord, Row
from bitpick.selection.claims import with_claims
from bitpick.selection.judge import judge
from bitpick.selection.recommend import recommend
from bitpick.tasks.classification import Classification
from tests import records

N = 5000
TARGETS = np.zeros(N, np.int64)
TASK = Classification(classes=("a", "b"))
Wrong = Sequence[tuple[str, Iterable[int], dict[str, Any]]]  # the id of each row, its wrong samples, further fields


def request(**fields: Any) -> RequestRecord:
    """A request with a margin of two points, in which hardly any drop is a flag."""
    return records.request(**{"margin": "2.0", "flag_drop": 0.5} | fields)


def judged_rows(rows: Wrong, **fields: Any) -> tuple[list[Row], dict[str, np.ndarray]]:
    """These rows and a baseline of each engine, judged by a request with these fields; and the predictions of each."""
    predicted, found = {}, {}
    names = dict.fromkeys(["a", *(row_id.partition(":")[0] for row_id, _, _ in rows)])
    for row_id, wrong, more in [*((baseline(name).id, (), {}) for name in names), *rows]:
        predictions = np.zeros(N, np.int32)
        predictions[list(wrong)] = 1
        predicted[row_id] = predictions
        measured = {"size_bytes": 300, "metric": TASK.metric(predictions, TARGETS), "samples": N}
        found[row_id] = records.row(row_id, **measured | more)
    judged = [judge(row, found, predicted, TARGETS, TASK, request(**fields)) for row in found.values()]
    return judged, predicted


def recommended(rows: Wrong, **fields: Any) -> Recommendation:
    """What is recommended of these rows, for a request with these fields."""
    judged, predicted = judged_rows(rows, **fields)
    claimed = with_claims(judged, predicted, TARGETS, TASK, 0.05)
    return recommend(claimed, predicted, TARGETS, TASK, request(**fields))


def sized(size: int, **fields: Any) -> dict[str, Any]:
    """The fields of a row whose files have this size."""
    return {"size_bytes": size, **fields}
