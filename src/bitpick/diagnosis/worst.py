"""The evaluation samples that a build does most harm to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitpick.data import pictures
from bitpick.data.dataset import Samples
from bitpick.diagnosed import Example
from bitpick.measures.fidelity import probabilities

MOST = 12


def harmed(
    floats: NDArray[np.float32], scores: NDArray[np.float32], targets: NDArray[np.int64], most: int = MOST
) -> NDArray[np.int64]:
    """Samples that the float32 gets right and the build does not, by what their true class loses in probability.

    Args:
        floats: the float32's scores of shape (n, classes).
        scores: the build's, of the same shape.
        targets: true classes of shape (n,).
        most: how many at most.

    Returns:
        Their places of shape (at most `most`,), the worst first.
    """
    places = np.flatnonzero((floats.argmax(axis=1) == targets) & (scores.argmax(axis=1) != targets))
    lost = (probabilities(floats) - probabilities(scores))[places, targets[places]]
    found: NDArray[np.int64] = places[np.argsort(-lost, kind="stable")][:most]
    return found


def examples(
    places: NDArray[np.int64],
    samples: Samples,
    classes: Sequence[str],
    scores: dict[str, NDArray[np.float32]],
    root: Path,
    folder: str,
) -> list[Example]:
    """Write samples as images into a folder of a run directory; none where they are no images.

    Args:
        places: which samples of the evaluation set.
        samples: the evaluation set.
        classes: names of the classes.
        scores: what each row gave for the whole set, of shape (n, classes), by the row's id.
        root: the run directory.
        folder: in it.
    """
    stored = np.load(samples.inputs, mmap_mode="r")
    order = np.arange(samples.count) if samples.indices is None else np.load(samples.indices)
    targets = samples.targets()
    found = []
    for place in map(int, places):
        image = f"{folder}/{place}.png"
        if pictures.save(stored[order[place]], root / image):
            predictions = {row: classes[int(given[place].argmax())] for row, given in scores.items()}
            label = classes[int(targets[place])]
            found.append(Example(sample=place, image=image, label=label, predictions=predictions))
    return found
