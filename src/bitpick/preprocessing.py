"""From stored samples to what a model takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict


class Preprocessing(BaseModel):
    """Stored samples become `(float32(sample) - offset) / scale`.

    Attributes:
        offset: taken off each value.
        scale: divides what is left. The defaults hand the model its raw pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    offset: float = 0.0
    scale: float = 1.0

    def __call__(self, batch: NDArray[np.generic]) -> NDArray[np.float32]:
        """Prepare a batch.

        Args:
            batch: array of shape (n, …), any numeric dtype.

        Returns:
            Array of the same shape, float32.
        """
        prepared = np.ascontiguousarray(batch, dtype=np.float32)
        if self.offset == 0.0 and self.scale == 1.0:
            return prepared
        return (prepared - np.float32(self.offset)) / np.float32(self.scale)

    @property
    def words(self) -> str:
        """The preprocessing in words."""
        if self.offset == 0.0 and self.scale == 1.0:
            return "raw values as float32"
        return f"(value - {self.offset:g}) / {self.scale:g} as float32"
