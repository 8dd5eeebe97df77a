"""What is inside a build beside its float32: the contract of runtimes that show it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from bitpick.preprocessing import Arrays

Pair = tuple[str, NDArray[np.float32], NDArray[np.float32]]
"""A layer's name, a tensor of its float32, and the same tensor in the build, dequantized, of the same shape."""


class Insides(AbstractContextManager["Insides"]):
    """Two builds of one model, open side by side, with the tensors that both of them show.

    Layers have the names that a recipe's `exclude` knows. A layer of which one of the builds shows nothing is left out.
    """

    @abstractmethod
    def weights(self) -> Iterator[Pair]:
        """The weight of each layer that has one: in float, and as the build stores it; of shape (outputs, …)."""

    @abstractmethod
    def outputs(self, batch: Arrays) -> Iterator[Pair]:
        """What each layer computes for a batch.

        It is what the next layer gets to see: after an activation function that is fused into the layer, on the grid
        that the build rounds it to.
        """

    def __exit__(self, *_: object) -> None:
        """Release what the runtime holds. Nothing, by default."""
