"""The contract of runtimes that show the tensors inside a build, for comparison with its float32 build."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from bitpick.preprocessing import Arrays

Pair = tuple[str, NDArray[np.float32], NDArray[np.float32]]
"""A layer's name, one of its float32 tensors, and the same tensor in the build: dequantized, with the same shape."""


class Insides(AbstractContextManager["Insides"]):
    """Two builds of one model, opened side by side, with the tensors that both show.

    Layers have the names that a recipe's `exclude` uses. A layer that one of the builds does not show is left out.
    """

    @abstractmethod
    def weights(self) -> Iterator[Pair]:
        """Yield the weight of each layer that has one, of shape (outputs, …): in float, and as the build stores it."""

    @abstractmethod
    def outputs(self, batch: Arrays) -> Iterator[Pair]:
        """Yield the output of each layer for a batch.

        It is what the next layer reads: taken after an activation function that is fused into the layer, and on the
        grid that the build rounds it to.
        """

    def __exit__(self, *_: object) -> None:
        """Release what the runtime holds; nothing by default."""
