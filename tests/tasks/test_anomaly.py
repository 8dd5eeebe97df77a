from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn

from bitpick.tasks.anomaly import Anomaly


def test_the_squared_error_tells_abnormal_samples_from_normal_ones():
    rng = np.random.default_rng(0)
    labels = rng.permutation([0] * 150 + [1] * 30)
    inputs = rng.normal(size=(180, 10)).astype(np.float32)
    outputs = inputs + rng.normal(size=(180, 10)).astype(np.float32) * (1 + 0.5 * labels[:, None])
    task = Anomaly(unit="mm")
    answers = task.answers((inputs,), (outputs,), labels)
    error = np.square(outputs - inputs).mean(axis=1)
    assert task.metric(answers, labels).value == pytest.approx(sklearn.roc_auc_score(labels, error))
    normal = {metric.name: metric for metric in task.metrics(answers, (), labels)}
    assert normal["rmse_normal"].value == pytest.approx(np.sqrt(error[labels == 0].mean()), rel=1e-5)
    assert normal["mae_normal"].unit == "mm"
    assert task.groups(labels).tolist() == labels.tolist()
