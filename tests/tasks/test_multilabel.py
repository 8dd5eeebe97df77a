from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn

from bitpick.tasks.multilabel import MultiLabel


def data(seed=0):
    rng = np.random.default_rng(seed)
    targets = (rng.random((200, 3)) < (0.5, 0.2, 0.8)).astype(np.int64)
    return (rng.normal(size=(200, 3)) + targets).astype(np.float32), targets


@pytest.mark.parametrize("metric", ["macro_auc", "macro_f1", "exact_match"])
def test_metrics_by_their_definitions(metric):
    scores, targets = data()
    task = MultiLabel(classes=tuple("abc"), judged_by=metric).settled((scores,), targets)
    assert task.threshold == 0
    expected = {
        "macro_auc": sklearn.roc_auc_score(targets, scores),
        "macro_f1": sklearn.f1_score(targets, scores > 0, average="macro"),
        "exact_match": sklearn.accuracy_score(targets, scores > 0),
    }
    found = [task.metric(scores, targets), *task.metrics(scores, (), targets)]
    assert found[0].name == metric
    assert {each.name: each.value for each in found} == pytest.approx(expected)
    assert all(each.interval[0] < each.value < each.interval[1] for each in found)


def test_a_shift_of_all_scores_moves_those_with_a_threshold():
    scores, targets = data()
    task = MultiLabel(classes=tuple("abc")).settled((scores,), targets)
    assert task.versus(scores, scores - 0.5, targets).drop == pytest.approx(0)
    by_f1 = task.model_copy(update={"judged_by": "macro_f1"})
    assert by_f1.versus(scores, scores - 2, targets).drop > 0.1
