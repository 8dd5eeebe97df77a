"""Layers with weights to round: convolutions and matrix products whose weights are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bitpick.passes.graphs import Graph, attributes

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Layer:
    """A layer whose output channels are products of a row of weights and a patch of its input.

    Attributes:
        node: the node.
        place: its place in the graph.
        kernel: spatial shape of a convolution's kernel; empty for a matrix product.
        groups: number of groups that its channels are in; 1 for a matrix product.
        transposed: whether the weights of a matrix product are stored with one row for each output channel.
        bias: the name of the stored bias of each output channel; None if a bias cannot be stored.
    """

    node: onnx.NodeProto
    place: int
    kernel: tuple[int, ...]
    groups: int
    transposed: bool
    bias: str | None

    @property
    def name(self) -> str:
        """The node's name; its output's name if it has none."""
        return self.node.name or self.node.output[0]

    @property
    def weights(self) -> str:
        """The name of the tensor with its weights."""
        name: str = self.node.input[1]
        return name

    def is_depthwise(self, rows: NDArray[np.float64]) -> bool:
        """Return whether each input channel is convolved alone.

        Args:
            rows: the layer's weights, see `rows`.
        """
        return self.groups > 1 and rows.shape[1] == int(np.prod(self.kernel))

    def rows(self, graph: Graph) -> NDArray[np.float64]:
        """Return the weights, of shape (channels, weights of one channel)."""
        stored = np.array(graph.constant(self.weights), np.float64)
        if self.node.op_type == "Conv":
            return stored.reshape(len(stored), -1)
        return stored if self.transposed else stored.T

    def store(self, graph: Graph, rows: NDArray[np.float64]) -> None:
        """Replace the weights by those of `rows`, see there."""
        stored = graph.constant(self.weights)
        assert stored is not None
        matrix = rows if self.node.op_type == "Conv" or self.transposed else rows.T
        graph.store(self.weights, matrix.reshape(stored.shape).astype(np.float32))

    def add_to_bias(self, graph: Graph, change: NDArray[np.float64]) -> None:
        """Add a number to the bias of each output channel; a layer that can have a bias and has none gets one."""
        assert self.bias is not None
        stored = graph.constant(self.bias)
        bias = change if stored is None else stored + change.reshape(stored.shape)
        graph.store(self.bias, np.asarray(bias, np.float32))
        if stored is None:
            node = graph.makers[self.node.output[0]]
            del node.input[2:]
            node.input.append(self.bias)

    def patches(self, inputs: NDArray[np.float32], count: int, generator: np.random.Generator) -> NDArray[np.float32]:
        """Return patches of a layer's input, drawn at random positions of random samples.

        Args:
            inputs: a batch of the layer's input.
            count: how many patches at most; all of them if the input has fewer.
            generator: draws the positions; the same state draws the same positions.

        Returns:
            The patches, of shape (patches, groups, weights of one channel).
        """
        if self.node.op_type != "Conv":
            patches = inputs.reshape(-1, inputs.shape[-1])
            places = _draw(len(patches), count, generator)
            return patches[places][:, None, :]
        windows = self._windows(inputs)
        rank = inputs.ndim - 2
        positions = (len(windows), *windows.shape[2 : 2 + rank])
        sample, *spatial = np.unravel_index(_draw(int(np.prod(positions)), count, generator), positions)
        # The channel axis, between two index arrays, moves behind them.
        drawn: NDArray[np.float32] = windows[(sample, slice(None), *spatial)]  # type: ignore[arg-type]
        return drawn.reshape(len(sample), self.groups, -1)

    def _windows(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a view of a convolution's input with shape (n, channels, *output positions, *kernel)."""
        attrs, rank = attributes(self.node), inputs.ndim - 2
        strides, dilations = (list(attrs.get(name, [1] * rank)) for name in ("strides", "dilations"))
        extents = [(size - 1) * dilation + 1 for size, dilation in zip(self.kernel, dilations, strict=True)]
        pads = _pads(attrs, inputs.shape[2:], extents, strides)
        padded = np.pad(inputs, [(0, 0), (0, 0), *pads])
        windows = sliding_window_view(padded, extents, axis=tuple(range(2, 2 + rank)))
        steps: list[Any] = [slice(None, None, stride) for stride in strides] + [
            slice(None, None, each) for each in dilations
        ]
        view: NDArray[np.float32] = windows[(slice(None), slice(None), *steps)]
        return view


def _draw(total: int, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return `count` of the numbers below `total`, sorted; all of them if there are no more."""
    return np.arange(total) if total <= count else np.sort(generator.choice(total, count, replace=False))


def _pads(
    attrs: dict[str, object], sizes: Sequence[int], extents: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int]]:
    """Return the padding at both ends of each spatial axis."""
    rank = len(sizes)
    mode = attrs.get("auto_pad", b"NOTSET")
    if mode in (b"NOTSET", b"VALID"):
        pads = attrs.get("pads", [0] * 2 * rank) if mode == b"NOTSET" else [0] * 2 * rank
        assert isinstance(pads, Sequence)
        return [(pads[axis], pads[rank + axis]) for axis in range(rank)]
    sums = [
        max(0, (-(-size // stride) - 1) * stride + extent - size)
        for size, extent, stride in zip(sizes, extents, strides, strict=True)
    ]
    lower = mode == b"SAME_LOWER"  # the odd one goes to the beginning
    return [(total - total // 2, total // 2) if lower else (total // 2, total - total // 2) for total in sums]


def layers(graph: Graph) -> list[Layer]:
    """Return the layers of a graph whose weights can be rounded, in the graph's order."""
    found = (_layer(graph, node, place) for place, node in enumerate(graph.proto.node))
    return [layer for layer in found if layer is not None]


def _layer(graph: Graph, node: onnx.NodeProto, place: int) -> Layer | None:
    if node.op_type not in ("Conv", "Gemm", "MatMul") or not graph.owned(node, 1):
        return None
    attrs, weights = attributes(node), graph.constant(node.input[1])
    assert weights is not None
    if weights.dtype != np.float32 or not weights.any():
        return None
    if node.op_type == "Conv":
        return Layer(node, place, weights.shape[2:], attrs.get("group", 1), True, _own_bias(graph, node, len(weights)))
    if weights.ndim != 2 or attrs.get("transA", 0) or {attrs.get("alpha", 1.0), attrs.get("beta", 1.0)} != {1.0}:
        return None
    transposed = bool(attrs.get("transB", 0))
    channels = weights.shape[0 if transposed else 1]
    bias = _own_bias(graph, node, channels) if node.op_type == "Gemm" else _added_bias(graph, node, channels)
    return Layer(node, place, (), 1, transposed, bias)


def _own_bias(graph: Graph, node: onnx.NodeProto, channels: int) -> str | None:
    """Return the name of the bias that is, or could be, the third input of a layer."""
    if len(node.input) < 3 or not node.input[2]:
        name = f"{node.output[0]}.bias"
        return name if graph.constant(name) is None and name not in graph.makers else None
    stored = graph.constant(node.input[2])
    fits = stored is not None and stored.size == channels and stored.shape[-1:] == (channels,)
    return node.input[2] if fits and graph.owned(node, 2) else None


def _added_bias(graph: Graph, node: onnx.NodeProto, channels: int) -> str | None:
    """Return the name of the bias that the only reader of a matrix product adds to it."""
    reader = graph.only_reader(node.output[0])
    if reader is None or reader.op_type != "Add":
        return None
    place = 1 - list(reader.input).index(node.output[0])
    stored = graph.constant(reader.input[place])
    fits = stored is not None and stored.size == channels and stored.shape[-1:] == (channels,)
    return reader.input[place] if fits and graph.owned(reader, place) else None
