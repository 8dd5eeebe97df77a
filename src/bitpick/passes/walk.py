"""Walk through a network layer by layer, in float and with the layers so far rounded, on calibration samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion.onnx_file import fixed_batch, open_session
from bitpick.datasets.dataset import Samples
from bitpick.models.onnx_traits import inputs_of
from bitpick.passes.graphs import Graph, used_in_subgraphs
from bitpick.passes.layers import Layer

if TYPE_CHECKING:
    import onnx

MEMORY = 500_000_000
"""Limit for the activations that are kept from one layer to the next, in bytes."""
_TOGETHER = 50  # samples in a chunk; fewer if their activations are large

Tensors = dict[str, NDArray[Any]]
Inputs = tuple[NDArray[np.float32], NDArray[np.float32]]


class Walk:
    """The activations of two copies of a network, layer by layer.

    Only what later layers read is kept, for as many samples as fit into memory. Later layers usually have smaller maps,
    so they see more samples; the layers before them are run again for these.

    Args:
        model: the network. It stays as it is; a copy, `rounded`, is for the caller to change layer by layer.
        samples: the calibration samples.
        memory: limit for the activations that are kept, in bytes.
    """

    def __init__(self, model: onnx.ModelProto, samples: Samples, memory: int = MEMORY) -> None:
        import onnx

        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        self.rounded = Graph(copy)
        self._models = model, copy
        self._samples = samples
        self._memory = memory
        fixed = fixed_batch(model)
        self._size = fixed or samples.at_once(_TOGETHER)
        # A fixed batch is filled up with the first samples.
        self._total = -(-samples.count // fixed) * fixed if fixed else samples.count
        self._reads = [{*node.input, *used_in_subgraphs(node)} for node in model.graph.node]
        self._place = 0
        self._chunks: list[tuple[Tensors, Tensors]] = []

    def inputs(self, layer: Layer) -> list[Inputs]:
        """Return a layer's input for each chunk of samples, in float and after the rounded layers.

        Args:
            layer: a layer behind those that this was called with before.
        """
        names = sorted(self._needed(layer.place))
        gap = [_Part(model, self._place, layer.place, names) for model in self._models]
        prefix = [_Part(model, 0, layer.place, names) for model in self._models]
        before, chunks, most = self._chunks, list[tuple[Tensors, Tensors]](), -(-self._total // self._size)
        while len(chunks) < most:
            number = len(chunks)
            if number < len(before):
                starts, parts = before[number], gap
            else:
                starts, parts = (self._source(number),) * 2, prefix
            floats, rounded = (part.run(start) for part, start in zip(parts, starts, strict=True))
            chunks.append((floats, rounded))
            if number < len(before):
                before[number] = {}, {}  # frees what only earlier layers read
            kept = sum(array.nbytes for side in chunks[0] for array in side.values())
            most = min(most, max(1, self._memory // max(1, kept)))
        self._place, self._chunks = layer.place, chunks
        name = layer.node.input[0]
        return [(floats[name], rounded[name]) for floats, rounded in chunks]

    def _source(self, number: int) -> Tensors:
        """Return the network's inputs for a chunk of samples."""
        places = np.arange(number * self._size, min((number + 1) * self._size, self._total)) % self._samples.count
        arrays = self._samples.at(places)
        return {value.name: array for value, array in zip(inputs_of(self._models[0].graph), arrays, strict=True)}

    def _needed(self, place: int) -> set[str]:
        """Return the names of the tensors that the nodes from a place on read and earlier ones, or nobody, wrote."""
        graph = self._models[0].graph
        written = {value.name for value in inputs_of(graph)}.union(*(node.output for node in graph.node[:place]))
        return written.intersection(set().union(*self._reads[place:]))


class _Part:
    """A part of a network: the nodes between two places.

    Args:
        model: the network.
        start: the place of its first node.
        stop: the place behind its last node.
        names: the tensors to return; those that the part does not compute are passed on.
    """

    def __init__(self, model: onnx.ModelProto, start: int, stop: int, names: list[str]) -> None:
        self._model = model
        self._nodes = model.graph.node[start:stop]
        self._names = names
        computed = {name for node in self._nodes for name in node.output}
        self._outputs = [name for name in names if name in computed]
        self._reads = {name for node in self._nodes for name in (*node.input, *used_in_subgraphs(node))}
        self._session: Any = None

    def run(self, tensors: Tensors) -> Tensors:
        """Run the part on a chunk of samples."""
        passed = {name: tensors[name] for name in self._names if name in tensors}
        if not self._outputs:
            return passed
        needed = {name: array for name, array in tensors.items() if name in self._reads}
        self._session = self._session or self._open(needed)
        return passed | dict(zip(self._outputs, self._session.run(self._outputs, needed), strict=True))

    def _open(self, tensors: Tensors) -> Any:
        import onnxruntime as ort
        from onnx import helper

        graph = self._model.graph
        inputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), None)
            for name, array in tensors.items()
        ]
        outputs = [helper.make_empty_tensor_value_info(name) for name in self._outputs]
        stored = [each for each in graph.initializer if each.name in self._reads]
        part = helper.make_model(
            helper.make_graph(self._nodes, "part", inputs, outputs, stored),
            opset_imports=self._model.opset_import,
            functions=self._model.functions,
            ir_version=self._model.ir_version,
        )
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        return open_session(part, "a part of the graph", options)
