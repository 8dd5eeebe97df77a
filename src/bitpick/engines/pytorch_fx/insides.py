"""The tensors inside a TorchScript build: its own graph, run with more outputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.engines.insides import Insides, Pair
from bitpick.engines.pytorch_fx.graph import WEIGHTED, giving, weight_of
from bitpick.preprocessing import Arrays


class TorchScriptInsides(Insides):
    """See `Insides`. Layers have the names of the modules that they were.

    Args:
        floats: the float build, a module.
        build: a quantized build of the same model, another one.
    """

    def __init__(self, floats: Any, build: Any) -> None:
        sides = [(module, module.inlined_graph.copy()) for module in (floats, build)]
        expected, found = (
            {weight_of(module, node)[0]: node for node in graph.nodes() if node.kind().startswith(WEIGHTED)}
            for module, graph in sides
        )
        self._names = [name for name in expected if name in found]
        pairs = [(expected[name], found[name]) for name in self._names]
        self._weights = [
            [_float(weight_of(module, node)[1]) for (module, _), node in zip(sides, pair, strict=True)]
            for pair in pairs
        ]
        ends = ([_end(*pair) for pair in pairs], [node.output() for _, node in pairs])
        self._runs = [giving(module, graph, wanted) for (module, graph), wanted in zip(sides, ends, strict=True)]

    def weights(self) -> Iterator[Pair]:
        """See `Insides.weights`."""
        for name, (expected, found) in zip(self._names, self._weights, strict=True):
            yield name, expected, found

    def outputs(self, batch: Arrays) -> Iterator[Pair]:
        """See `Insides.outputs`."""
        import torch

        expected, found = (run(tuple(map(torch.from_numpy, batch))) for run in self._runs)
        for name, first, second in zip(self._names, expected, found, strict=True):
            yield name, _float(first), _float(second)


def _end(node: Any, quantized: Any) -> Any:
    """What a float layer gives: after its activation function, where the quantized one has that inside."""
    user = next((use.user for use in node.output().uses()), node)
    inside = "relu" in quantized.kind() and user.kind().startswith("aten::relu")
    return (user if inside else node).output()


def _float(tensor: Any) -> NDArray[np.float32]:
    values: NDArray[np.float32] = (tensor.dequantize() if tensor.is_quantized else tensor).detach().numpy()
    return values
