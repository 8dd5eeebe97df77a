"""A session without a build: a function of each batch gives its outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bitpick.engines.engine import Session


class FunctionSession(Session):
    """Returns what a function computes from each batch."""

    def __init__(self, function: Callable[[np.ndarray], np.ndarray]) -> None:
        self.function = function

    def prepare(self, batch: Any) -> Any:
        return batch

    def run(self, native: Any) -> np.ndarray:
        return self.function(native[0])

    def outputs(self, native: Any) -> tuple[np.ndarray, ...]:
        return (native,)
