from __future__ import annotations

import numpy as np

from bitpick.diagnosis.worst import harmed

FLOATS = np.array([[0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.8, 0.2]], np.float32)
SCORES = np.array([[0.4, 0.6], [0.45, 0.55], [0.7, 0.3], [0.7, 0.3]], np.float32)
TARGETS = np.array([0, 0, 0, 0])


def test_only_what_was_right_and_is_not_any_more_counts_the_worst_first():
    assert harmed(FLOATS, SCORES, TARGETS).tolist() == [0, 1]
    assert harmed(FLOATS, SCORES, TARGETS, most=1).tolist() == [0]
    assert harmed(FLOATS, FLOATS, TARGETS).tolist() == []
