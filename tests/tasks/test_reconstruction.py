from __future__ import annotations

import numpy as np
import pytest

from bitpick.tasks.reconstruction import Reconstruction


def test_errors_are_of_the_output_beside_the_prepared_input():
    rng = np.random.default_rng(0)
    inputs, outputs = (rng.normal(size=(60, 4, 4, 3)).astype(np.float32) for _ in range(2))
    task = Reconstruction(output=1, input=1)
    answers = task.answers((np.zeros(60), inputs), (np.zeros(60), outputs), None)
    difference = (outputs - inputs).reshape(60, -1)
    np.testing.assert_allclose(answers[:, 0], np.abs(difference).mean(axis=1), rtol=1e-5)
    zeros = np.zeros(60, np.int64)
    assert task.metric(answers, zeros).value == pytest.approx(np.abs(difference).mean())
    [rmse] = task.metrics(answers, (), zeros)
    assert rmse.value == pytest.approx(np.sqrt(np.square(difference).mean()))
    assert task.losses(answers, answers + 1, zeros).mean() == pytest.approx(1)
    assert Reconstruction(judged_by="rmse").losses(answers, answers, zeros) is None
