"""Answers of several parts: one array whose fields are a model's outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.preprocessing import Arrays
from bitpick.tasks.task import Answers


def packed(outputs: Arrays, names: Sequence[str]) -> Answers:
    """Outputs of shape (n, …) as one array of shape (n,) with a field for each; a single one stays as it is."""
    if len(outputs) == 1:
        return outputs[0]
    kinds = [(name, each.dtype, each.shape[1:]) for name, each in zip(names, outputs, strict=True)]
    found = np.empty(len(outputs[0]), np.dtype(kinds))
    for name, each in zip(names, outputs, strict=True):
        found[name] = each
    return found


def unpacked(answers: Answers) -> Mapping[str, NDArray[Any]]:
    """The parts of answers by name; one without fields is the only part, and has no name."""
    return {name: answers[name] for name in answers.dtype.names} if answers.dtype.names else {"": answers}
