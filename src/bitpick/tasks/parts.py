"""Pack several outputs of a model into one structured array, a field for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.preprocessing import Arrays
from bitpick.tasks.task import Answers


def packed(outputs: Arrays, names: Sequence[str]) -> Answers:
    """Pack outputs of shape (n, …) into one array of shape (n,) with a field for each; a single one stays unchanged."""
    if len(outputs) == 1:
        return outputs[0]
    fields = [(name, each.dtype, each.shape[1:]) for name, each in zip(names, outputs, strict=True)]
    answers = np.empty(len(outputs[0]), np.dtype(fields))
    for name, each in zip(names, outputs, strict=True):
        answers[name] = each
    return answers


def unpacked(answers: Answers) -> Mapping[str, NDArray[Any]]:
    """Return the parts of answers by name; answers without fields are one part with an empty name."""
    return {name: answers[name] for name in answers.dtype.names} if answers.dtype.names else {"": answers}
