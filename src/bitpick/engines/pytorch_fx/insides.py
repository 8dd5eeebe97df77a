"""The tensors inside a TorchScript build: its own graph, run with additional outputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.engines.insides import Insides, Pair
from bitpick.engines.pytorch_fx.graph import WEIGHTED, weight_of, with_outputs
from bitpick.preprocessing import Arrays


class TorchScriptInsides(Insides):
    """See `Insides`. Layers have the names of the modules they come from.

    Args:
        floats: the module of the float build.
        build: the module of a quantized build of the same model.
    """

    def __init__(self, floats: Any, build: Any) -> None:
        sides = [(module, module.inlined_graph.copy()) for module in (floats, build)]
        float_nodes, build_nodes = (
            {weight_of(module, node)[0]: node for node in graph.nodes() if node.kind().startswith(WEIGHTED)}
            for module, graph in sides
        )
        self._names = [name for name in float_nodes if name in build_nodes]
        pairs = [(float_nodes[name], build_nodes[name]) for name in self._names]
        self._weights = [
            [_float(weight_of(module, node)[1]) for (module, _), node in zip(sides, pair, strict=True)]
            for pair in pairs
        ]
        ends = ([_end(*pair) for pair in pairs], [node.output() for _, node in pairs])
        self._runs = [
            with_outputs(module, graph, outputs) for (module, graph), outputs in zip(sides, ends, strict=True)
        ]

    def weights(self) -> Iterator[Pair]:
        """See `Insides.weights`."""
        for name, (expected, restored) in zip(self._names, self._weights, strict=True):
            yield name, expected, restored

    def outputs(self, batch: Arrays) -> Iterator[Pair]:
        """See `Insides.outputs`."""
        import torch

        expected, actual = (run(tuple(map(torch.from_numpy, batch))) for run in self._runs)
        for name, first, second in zip(self._names, expected, actual, strict=True):
            yield name, _float(first), _float(second)


def _end(node: Any, quantized: Any) -> Any:
    """Return the output of a float layer, after its activation function if the quantized layer includes that."""
    user = next((use.user for use in node.output().uses()), node)
    includes_relu = "relu" in quantized.kind() and user.kind().startswith("aten::relu")
    return (user if includes_relu else node).output()


def _float(tensor: Any) -> NDArray[np.float32]:
    values: NDArray[np.float32] = (tensor.dequantize() if tensor.is_quantized else tensor).detach().numpy()
    return values
