"""Which tasks there are, and which one a model and a data set make."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.errors import DataError, ModelError
from bitpick.measures.tasks.classification import Classification
from bitpick.measures.tasks.task import Task
from bitpick.model import Signature, Tensor

AnyTask = Classification
"""Every task, told apart by `kind`."""


def choose(signature: Signature, classes: tuple[str, ...], labels: NDArray[Any] | None, source: str) -> Task:
    """The task that a model and a data set make.

    Args:
        signature: what the model gives.
        classes: names of the classes; empty where the data set has none.
        labels: the labels of the evaluation set; None where it has none.
        source: the model, as messages call it.

    Raises:
        ModelError: the model gives nothing that the labels could be compared with.
        DataError: the labels are none of it.
    """
    place = next((i for i, tensor in enumerate(signature.outputs) if _scores(tensor)), None)
    if place is None:
        told = "; ".join(map(str, signature.outputs))
        raise ModelError(
            f"the model {source} gives {told}, not one score per class", expected=f"shape (batch, {len(classes)})"
        )
    count = _scores(signature.outputs[place])
    if labels is None:
        names = classes if len(classes) == count else tuple(str(i) for i in range(count))
        return Classification(kind="agreement", classes=names, output=place)
    if count != len(classes):
        raise DataError(
            f"the model {source} gives {count} scores, and the data set has {len(classes)} classes",
            expected="as many of each",
        )
    top = int(np.max(labels))
    if top >= len(classes):
        raise DataError(
            f"the data set has the label {top}, outside its {len(classes)} classes",
            expected=f"labels 0 to {len(classes) - 1}",
        )
    return Classification(classes=classes, output=place)


def _scores(tensor: Tensor) -> int:
    """For how many classes an output has a score for each; 0 where it is no such output."""
    if tensor.shape is None or len(tensor.shape) != 1 or tensor.shape[0] is None:
        return 0
    return tensor.shape[0]
