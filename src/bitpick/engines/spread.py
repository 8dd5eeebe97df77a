"""Tensors whose ranges a mask or an infinity blows up, so that 8 bits have no room for their other numbers."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets.dataset import Samples
from bitpick.engines.batches import pieces
from bitpick.preprocessing import Arrays

_LOOKED_AT = 128  # samples; masks come with the length of a sequence, which differs among them
_AT_ONCE = 4  # of these, at most: every tensor of a graph is in memory
# Powers of two. A mask is -1e4 or more, and far from what it is added to; 8 bits reach over less than such a distance.
_LARGE, _FAR, _ABSURD, _MILLION = 12, 7, 64, 20
_MULTIPLIES = re.compile(r"conv|mat_?mul|gemm|linear|fully_connected|lstm|gru|rnn|einsum|mm$", re.IGNORECASE)
_CLIPS = re.compile(r"(?:relu_?|relu_?6|relu_n1_to_1|clip|clamp|hard_?tanh)_?(?:\.\w+)?", re.IGNORECASE)
_SHIFTS = re.compile(r"add|batch_?norm", re.IGNORECASE)
DTYPE = "bitpick_dtype"
_SHOWN = 6  # layers named in a note
# Numbers below 2**_SMALL are far from what is large, and which powers they have makes no difference.
_SMALL, _POWERS = _LARGE - _FAR - 1, 160


class Spread:
    """The magnitudes of a tensor's numbers, by powers of two."""

    def __init__(self) -> None:
        self._seen = np.zeros(_POWERS, np.bool_)  # the first is of all small numbers but zeros
        self._finite = True

    def add(self, numbers: NDArray[np.floating]) -> None:
        """Note which magnitudes numbers have, an array of any shape."""
        if not numbers.size:
            return
        low, high = float(numbers.min()), float(numbers.max())
        if math.isfinite(low) and math.isfinite(high) and max(-low, high) < 2.0**_SMALL:
            self._seen[0] |= low != 0 or high != 0  # most tensors end here: two passes over their numbers
            return
        finite = numbers[np.isfinite(numbers)]
        self._finite = self._finite and finite.size == numbers.size
        large = finite[np.abs(finite) >= 2.0**_SMALL]
        self._seen[0] |= np.count_nonzero(finite) > large.size
        self._seen[np.minimum(np.frexp(large)[1] - _SMALL, _POWERS - 1)] = True

    @property
    def blown_up(self) -> bool:
        """Whether some numbers are not finite, or no activations at all, or large and far above all others."""
        far = any(high >= _LARGE and high - low > _FAR for low, high in pairwise(self._powers))
        return far or self.bare or self.no_grid

    @property
    def no_grid(self) -> bool:
        """Whether no scale fits at all: some numbers are not finite, or too large for any activation."""
        return not self._finite or bool(self._powers and self._powers[-1] >= _ABSURD)

    @property
    def bare(self) -> bool:
        """Whether it has nothing but zeros and numbers of a million and more, as a mask has that is yet to be added."""
        return bool(self._powers) and self._powers[0] >= _MILLION

    @property
    def _powers(self) -> list[int]:
        return [int(place) + _SMALL for place in np.flatnonzero(self._seen)]


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

    @property
    def no_grid(self) -> set[str]:
        """Those of them that no scale fits at all."""
        return {name for name, spread in self._by_name.items() if spread.no_grid}

    @property
    def bare(self) -> set[str]:
        """The tensors that are masks by themselves, see `Spread.bare`."""
        return {name for name, spread in self._by_name.items() if spread.bare}


@dataclass(frozen=True)
class Step:
    """A node of a graph, whatever kind of graph it is.

    Attributes:
        name: as the engine calls the node.
        kind: its operator.
        reads: names of tensors.
        writes: names of tensors.
    """

    name: str
    kind: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def left_in_float(steps: Sequence[Step], found: Spreads) -> list[Step]:
    """The steps of a graph that must stay in float.

    These read or write a tensor whose range is blown up, or compute a mask: (1 - kept) · -3.4e38 is 0 only where 1 is
    exactly 1, and it is not on every grid. Products with weights, where any scale fits, are quantized all the same:
    columns of a table on unlike scales need not matter alike, and what is lost is measured. So is a ReLU behind one:
    engines compute both at once, and never hold what is between them.

    Args:
        steps: in any order.
        found: the magnitudes of the graph's tensors.
    """
    no_grid = found.no_grid
    wide = found.blown_up - (_fused_away(steps) - no_grid)

    def carries(step: Step) -> bool:
        bad = no_grid if _MULTIPLIES.search(step.kind) else wide
        return not bad.isdisjoint(step.reads + step.writes)

    left = {step for step in steps if carries(step)}
    made_by = {name: step for step in steps for name in step.writes}
    ahead = [made_by[name] for name in found.bare if name in made_by]
    seen = set(ahead)
    while ahead:
        makers = {made_by[name] for name in ahead.pop().reads if name in made_by} - seen
        makers = {step for step in makers if not _MULTIPLIES.search(step.kind)}
        seen |= makers
        left |= makers
        ahead += makers
    return [step for step in steps if step in left]


def _fused_away(steps: Sequence[Step]) -> set[str]:
    """The tensors between a product with weights and the ReLU or clip behind it, with a bias or a BatchNorm between."""
    made_by = {name: step for step in steps for name in step.writes}
    readers = Counter(name for step in steps for name in set(step.reads))
    away: set[str] = set()
    for clip in steps:
        step, between = clip, set[str]()
        while step is clip or _SHIFTS.search(step.kind):
            computed = [name for name in step.reads if name in made_by]
            if not _CLIPS.fullmatch(clip.kind) or len(computed) != 1 or readers[computed[0]] != 1:
                break
            between.update(computed)
            step = made_by[computed[0]]
        if _MULTIPLIES.search(step.kind):
            away |= between
    return away


def batches(samples: Samples, size: int | None = None) -> Iterator[Arrays]:
    """Some calibration samples to look at every tensor with, a few at a time.

    Args:
        samples: the calibration set.
        size: the number of samples that the graph takes at once; None where any will do.
    """
    for batch in samples.head(_LOOKED_AT).batches(size or samples.at_once(_AT_ONCE, kept=True)):
        yield from pieces(batch, size)


def of_nodes(module: Any, looked_at: Iterable[Arrays]) -> set[Any]:
    """The nodes of a `torch.fx.GraphModule` that must stay in float, see `left_in_float`.

    Each node gets the dtype of what it computed in its `meta`, under `DTYPE`.

    Args:
        module: the module.
        looked_at: batches of its inputs.
    """
    import torch

    found = Spreads()

    class Looking(torch.fx.Interpreter):
        def run_node(self, n: torch.fx.Node) -> Any:
            computed = super().run_node(n)
            n.meta[DTYPE] = getattr(computed, "dtype", None)
            if isinstance(computed, torch.Tensor) and computed.dtype == torch.float32:
                found.add({n.name: computed.detach().numpy()})
            return computed

    with torch.no_grad():
        for batch in looked_at:
            Looking(module).run(*map(torch.from_numpy, batch))
    nodes = {node.name: node for node in module.graph.nodes if node.op.startswith("call_")}
    kinds = {name: str(getattr(node.target, "__name__", node.target)) for name, node in nodes.items()}
    modules = {name: module.get_submodule(node.target) for name, node in nodes.items() if node.op == "call_module"}
    kinds |= {name: type(each).__name__ for name, each in modules.items()}
    steps = [
        Step(name, kinds[name], tuple(each.name for each in node.all_input_nodes), (name,))
        for name, node in nodes.items()
    ]
    return {nodes[step.name] for step in left_in_float(steps, found)}


def note(engine: str, layers: Iterable[str]) -> tuple[str, ...]:
    """What to tell about layers that an engine leaves in float; nothing where there are none."""
    names = list(dict.fromkeys(layers))
    if not names:
        return ()
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    why = "some of their values are not finite, or so large (as in a mask) that 8 bits cannot tell the others apart"
    return (f"{engine} leaves {shown} in float: {why}",)
