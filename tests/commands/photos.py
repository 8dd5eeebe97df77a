"""Pictures of four classes."""

from __future__ import annotations

import numpy as np

SHAPE, CLASSES = (8, 8, 3), ("ant", "bee", "cow", "dog")
COUNT = 400


def pictures(scores_of, count: int = COUNT) -> tuple[np.ndarray, np.ndarray]:
    """Random pictures with the classes that a model gives them, one in ten wrong."""
    rng = np.random.default_rng(4)
    pixels = rng.integers(0, 256, (count, *SHAPE), dtype=np.uint8)
    pixels = (pixels * np.linspace(0.3, 1, 3)).astype(np.uint8)  # colours that are not alike
    labels = scores_of(pixels).argmax(axis=1)
    wrong = rng.random(count) < 0.1
    labels[wrong] = rng.integers(0, len(CLASSES), wrong.sum())
    return pixels, labels
