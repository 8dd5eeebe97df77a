"""Find tensors whose range a mask or an infinity blows up, so that 8 bits cannot resolve their other numbers."""

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

_LOOKED_AT = 128  # samples; masks depend on the sequence length, which differs between samples
_AT_ONCE = 4  # samples in a batch, at most: every tensor of the graph is held in memory
# Powers of two. A mask is at least 1e4 in magnitude, far above what it is added to; 8 bits cannot span that distance.
_LARGE, _FAR, _ABSURD, _MILLION = 12, 7, 64, 20
_MULTIPLIES = re.compile(r"conv|mat_?mul|gemm|linear|fully_connected|lstm|gru|rnn|einsum|mm$", re.IGNORECASE)
_CLIPS = re.compile(r"(?:relu_?|relu_?6|relu_n1_to_1|clip|clamp|hard_?tanh)_?(?:\.\w+)?", re.IGNORECASE)
_SHIFTS = re.compile(r"add|batch_?norm", re.IGNORECASE)
DTYPE = "bitpick_dtype"
_SHOWN = 6  # layers named in a note
# Numbers below 2**_SMALL are far from any large number, so their exact powers make no difference.
_SMALL, _POWERS = _LARGE - _FAR - 1, 160


class Spread:
    """The magnitudes of a tensor's numbers, as powers of two."""

    def __init__(self) -> None:
        self._seen = np.zeros(_POWERS, np.bool_)  # the first entry stands for all small numbers except zero
        self._finite = True

    def add(self, numbers: NDArray[np.floating]) -> None:
        """Record the magnitudes in an array of any shape."""
        if not numbers.size:
            return
        low, high = float(numbers.min()), float(numbers.max())
        if math.isfinite(low) and math.isfinite(high) and max(-low, high) < 2.0**_SMALL:
            self._seen[0] |= low != 0 or high != 0  # most tensors end here, after two passes over their numbers
            return
        finite = numbers[np.isfinite(numbers)]
        self._finite = self._finite and finite.size == numbers.size
        large = finite[np.abs(finite) >= 2.0**_SMALL]
        self._seen[0] |= np.count_nonzero(finite) > large.size
        self._seen[np.minimum(np.frexp(large)[1] - _SMALL, _POWERS - 1)] = True

    @property
    def blown_up(self) -> bool:
        """Whether some numbers are large and far above all others, or `is_mask` or `no_grid` holds."""
        far = any(high >= _LARGE and high - low > _FAR for low, high in pairwise(self._powers))
        return far or self.is_mask or self.no_grid

    @property
    def no_grid(self) -> bool:
        """Whether no scale fits: some numbers are not finite, or too large for any activation."""
        return not self._finite or bool(self._powers and self._powers[-1] >= _ABSURD)

    @property
    def is_mask(self) -> bool:
        """Whether all numbers are zero or at least a million in magnitude, as in a mask that is not yet added."""
        return bool(self._powers) and self._powers[0] >= _MILLION

    @property
    def _powers(self) -> list[int]:
        return [int(place) + _SMALL for place in np.flatnonzero(self._seen)]


class Spreads:
    """The magnitudes of every tensor of a graph."""

    def __init__(self) -> None:
        self._by_name: dict[str, Spread] = {}

    def add(self, tensors: Mapping[str, NDArray[np.generic]] | Iterable[tuple[str, NDArray[np.generic]]]) -> None:
        """Record the magnitudes of the float tensors of a batch, by name."""
        for name, numbers in dict(tensors).items():
            if np.issubdtype(numbers.dtype, np.floating):
                self._by_name.setdefault(name, Spread()).add(np.asarray(numbers))

    @property
    def blown_up(self) -> set[str]:
        """The names of the tensors whose ranges are blown up."""
        return {name for name, spread in self._by_name.items() if spread.blown_up}

    @property
    def no_grid(self) -> set[str]:
        """The names of the tensors that no scale fits."""
        return {name for name, spread in self._by_name.items() if spread.no_grid}

    @property
    def masks(self) -> set[str]:
        """The names of the tensors that are masks, see `Spread.is_mask`."""
        return {name for name, spread in self._by_name.items() if spread.is_mask}


@dataclass(frozen=True)
class Step:
    """A node of a graph, independent of the graph's format.

    Attributes:
        name: the engine's name for the node.
        kind: its operator type.
        reads: names of its input tensors.
        writes: names of its output tensors.
    """

    name: str
    kind: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def left_in_float(steps: Sequence[Step], spreads: Spreads) -> list[Step]:
    """Return the steps of a graph that must stay in float.

    A step must stay in float if it reads or writes a tensor whose range is blown up, or if it computes a mask:
    (1 - kept) · -3.4e38 is 0 only if 1 is represented exactly, which not every grid does. Products with weights are
    quantized anyway as long as some scale fits: columns of a table may have very different scales without mattering
    equally, and the loss is measured. So is a ReLU that follows such a product: engines fuse both, so that the tensor
    between them never exists.

    Args:
        steps: the steps, in any order.
        spreads: the magnitudes of the graph's tensors.
    """
    no_grid = spreads.no_grid
    wide = spreads.blown_up - (_fused_away(steps) - no_grid)

    def is_wide(step: Step) -> bool:
        bad_tensors = no_grid if _MULTIPLIES.search(step.kind) else wide
        return not bad_tensors.isdisjoint(step.reads + step.writes)

    in_float = {step for step in steps if is_wide(step)}
    makers = {name: step for step in steps for name in step.writes}
    pending = [makers[name] for name in spreads.masks if name in makers]
    seen = set(pending)
    while pending:
        sources = {makers[name] for name in pending.pop().reads if name in makers} - seen
        sources = {step for step in sources if not _MULTIPLIES.search(step.kind)}
        seen |= sources
        in_float |= sources
        pending += sources
    return [step for step in steps if step in in_float]


def _fused_away(steps: Sequence[Step]) -> set[str]:
    """Return the tensors between a product with weights and the ReLU or clip after it, past a bias or a BatchNorm."""
    makers = {name: step for step in steps for name in step.writes}
    readers = Counter(name for step in steps for name in set(step.reads))
    fused: set[str] = set()
    for clip in steps:
        step, between = clip, set[str]()
        while step is clip or _SHIFTS.search(step.kind):
            computed = [name for name in step.reads if name in makers]
            if not _CLIPS.fullmatch(clip.kind) or len(computed) != 1 or readers[computed[0]] != 1:
                break
            between.update(computed)
            step = makers[computed[0]]
        if _MULTIPLIES.search(step.kind):
            fused |= between
    return fused


def batches(samples: Samples, size: int | None = None) -> Iterator[Arrays]:
    """Yield the calibration samples for which every tensor is examined, in small batches.

    Args:
        samples: the calibration set.
        size: the fixed batch size of the graph; None if it takes any.
    """
    for batch in samples.head(_LOOKED_AT).batches(size or samples.at_once(_AT_ONCE, kept=True)):
        yield from pieces(batch, size)


def of_nodes(module: Any, inputs: Iterable[Arrays]) -> set[Any]:
    """Return the nodes of a `torch.fx.GraphModule` that must stay in float, see `left_in_float`.

    Writes the dtype of each node's result into its `meta`, under `DTYPE`.

    Args:
        module: the module.
        inputs: batches of its inputs.
    """
    import torch

    spreads = Spreads()

    class Recorder(torch.fx.Interpreter):
        def run_node(self, n: torch.fx.Node) -> Any:
            result = super().run_node(n)
            n.meta[DTYPE] = getattr(result, "dtype", None)
            if isinstance(result, torch.Tensor) and result.dtype == torch.float32:
                spreads.add({n.name: result.detach().numpy()})
            return result

    with torch.no_grad():
        for batch in inputs:
            Recorder(module).run(*map(torch.from_numpy, batch))
    nodes = {node.name: node for node in module.graph.nodes}
    return {nodes[step.name] for step in left_in_float(steps_of(module), spreads)}


def steps_of(module: Any) -> list[Step]:
    """Return the steps of a `torch.fx.GraphModule`: its calls, by the names of their nodes."""

    def kind(node: Any) -> str:
        if node.op == "call_module":
            return type(module.get_submodule(node.target)).__name__
        return str(getattr(node.target, "__name__", node.target))

    return [
        Step(node.name, kind(node), tuple(each.name for each in node.all_input_nodes), (node.name,))
        for node in module.graph.nodes
        if node.op.startswith("call_")
    ]


def note(engine: str, layers: Iterable[str]) -> tuple[str, ...]:
    """Return a note about the layers that an engine leaves in float; empty if there are none."""
    names = list(dict.fromkeys(layers))
    if not names:
        return ()
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    why = "some of their values are not finite, or so large (as in a mask) that 8 bits cannot tell the others apart"
    return (f"{engine} leaves {shown} in float: {why}",)
