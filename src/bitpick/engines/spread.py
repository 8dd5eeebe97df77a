"""Tensors whose ranges a mask or an infinity blows up, so that 8 bits have no room for their other numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets.dataset import Samples
from bitpick.engines.batches import pieces
from bitpick.preprocessing import Arrays

_LOOKED_AT = 128  # samples; masks come with the length of a sequence, which differs among them
_AT_ONCE = 4  # of these: every tensor of a graph is in memory
# Powers of two. A mask is -1e4 or more, and far from what it is added to; 8 bits reach over less than such a distance.
_LARGE, _FAR, _ABSURD = 12, 7, 64
_SHOWN = 6  # layers named in a note
_LOWEST = 160  # the smallest float32 is above 2**-150


class Spread:
    """The magnitudes of a tensor's numbers, by powers of two."""

    def __init__(self) -> None:
        self._counts = np.zeros(2 * _LOWEST, np.int64)
        self._finite = True

    def add(self, numbers: NDArray[np.floating]) -> None:
        """Count numbers, an array of any shape."""
        finite = numbers[np.isfinite(numbers)]
        self._finite = self._finite and finite.size == numbers.size
        exponents = np.frexp(finite[finite != 0].astype(np.float32, copy=False))[1]
        self._counts += np.bincount(exponents + _LOWEST, minlength=2 * _LOWEST)

    @property
    def blown_up(self) -> bool:
        """Whether some numbers are not finite, or no activations at all, or large and far above all others."""
        powers = np.flatnonzero(self._counts) - _LOWEST
        if not self._finite or (len(powers) and powers[-1] >= _ABSURD):
            return True
        return any(high >= _LARGE and high - low > _FAR for low, high in pairwise(powers))


class Spreads:
    """The magnitudes of every tensor of a graph."""

    def __init__(self) -> None:
        self._by_name: dict[str, Spread] = {}

    def add(self, tensors: Mapping[str, NDArray[np.generic]] | Iterable[tuple[str, NDArray[np.generic]]]) -> None:
        """Count what tensors are for a batch, those of them that are floats."""
        for name, numbers in dict(tensors).items():
            if np.issubdtype(numbers.dtype, np.floating):
                self._by_name.setdefault(name, Spread()).add(np.asarray(numbers))

    @property
    def blown_up(self) -> set[str]:
        """The tensors whose ranges are blown up."""
        return {name for name, spread in self._by_name.items() if spread.blown_up}


def batches(samples: Samples, size: int | None = None) -> Iterator[Arrays]:
    """Some calibration samples to look at every tensor with, a few at a time.

    Args:
        samples: the calibration set.
        size: the number of samples that the graph takes at once; None where any will do.
    """
    for batch in samples.head(_LOOKED_AT).batches(size or _AT_ONCE):
        yield from pieces(batch, size)


def of_nodes(module: Any, looked_at: Iterable[Arrays]) -> set[Any]:
    """The nodes of a `torch.fx.GraphModule` that read or write tensors whose ranges are blown up.

    Args:
        module: the module.
        looked_at: batches of its inputs.
    """
    import torch

    found = Spreads()

    class Looking(torch.fx.Interpreter):
        def run_node(self, n: torch.fx.Node) -> Any:
            computed = super().run_node(n)
            if isinstance(computed, torch.Tensor) and computed.dtype == torch.float32:
                found.add({n.name: computed.detach().numpy()})
            return computed

    with torch.no_grad():
        for batch in looked_at:
            Looking(module).run(*map(torch.from_numpy, batch))
    wide = found.blown_up
    return {
        node
        for node in module.graph.nodes
        if node.op.startswith("call_") and any(each.name in wide for each in (node, *node.all_input_nodes))
    }


def note(engine: str, layers: Iterable[str]) -> tuple[str, ...]:
    """What to tell about layers that an engine leaves in float; nothing where there are none."""
    names = list(dict.fromkeys(layers))
    if not names:
        return ()
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    why = "some of their values are as large as a mask or an infinity, and 8 bits could not tell the others apart"
    return (f"{engine} leaves {shown} in float: {why}",)
