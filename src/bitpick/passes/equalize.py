"""Cross-layer equalization: channels of unlike magnitude get alike, without any change of what the network computes.

M. Nagel, M. van Baalen, T. Blankevoort, M. Welling, "Data-free quantization through weight equalization and bias
correction", 2019, section 4.1. Where an activation that scales with its input stands between two layers, each output
channel of the first can be divided by a factor, and the same input channel of the second multiplied by it. The factors
that make the ranges of both sides equal are the square root of their ratio.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bitpick.passes.graph_pass import Applied, GraphPass
from bitpick.passes.graphs import Graph, attributes

if TYPE_CHECKING:
    import onnx

PASS = GraphPass(
    "equalize",
    "scales the channels between two layers so that their weights are of like size (cross-layer equalization)",
    "bitpick.passes.equalize:apply",
)
_ROUNDS, _STEADY = 40, 1e-3  # a depthwise layer belongs to two pairs, so that it takes a few rounds
_WORTH = 1.5  # the largest factor over the smallest one, of a pair that is worth to be changed
_MOST = 1e4  # by which a channel is scaled: one that is nearly dead would take the other side's range
_SCALING = ("Relu", "LeakyRelu", "PRelu")  # a factor above 0 goes through them


@dataclass
class _Pair:
    """Two layers, with what stands between them.

    Attributes:
        first: the layer whose output channels are divided.
        second: the layer whose input channels are multiplied.
        cap: the node between them that bounds values above; None where none does.
        factors: of each channel, what the first is divided by.
    """

    first: onnx.NodeProto
    second: onnx.NodeProto
    cap: onnx.NodeProto | None
    factors: NDArray[np.float64]


def apply(source: str, out: str) -> Applied:
    """Rewrite a graph.

    Args:
        source: the `.onnx` file to read.
        out: the one to write.
    """
    import onnx

    model = onnx.load(source)
    graph = Graph(model)
    pairs = [pair for node in model.graph.node if (pair := _pair(graph, node)) is not None]
    if not pairs:
        return _nothing(model, out, "no two convolutions follow each other with at most a ReLU between them")
    weights = {name: np.array(graph.constant(name), np.float64) for pair in pairs for name in _weights(pair)}
    _settle(pairs, weights)
    changed = [pair for pair in pairs if pair.factors.max() > _WORTH * pair.factors.min()]
    if not changed:
        return _nothing(model, out, "the channels between its layers are of like size already")
    for pair in changed:
        _change(graph, pair)
    _insert_caps(graph, changed)
    onnx.save(model, out)
    return Applied([pair.first.name for pair in changed])


def _nothing(model: onnx.ModelProto, out: str, why: str) -> Applied:
    import onnx

    onnx.save(model, out)
    return Applied([], why)


def _pair(graph: Graph, first: onnx.NodeProto) -> _Pair | None:
    """The pair that a layer is the first of."""
    if first.op_type != "Conv" or not graph.owned(first, 1) or not (len(first.input) < 3 or graph.owned(first, 2)):
        return None
    following, cap = graph.only_reader(first.output[0]), None
    while following is not None and following.op_type in (*_SCALING, "Clip"):
        if following.op_type == "Clip":
            if cap is not None or not _caps(graph, following):
                return None
            cap = following
        following = graph.only_reader(following.output[0])
    if following is None or following.op_type != "Conv" or not graph.owned(following, 1):
        return None
    count = _channels(graph, first)
    group, own = attributes(following).get("group", 1), graph.constant(following.input[1])
    assert own is not None
    whole = group == 1 and own.shape[1] == count
    depthwise = group == count and own.shape[:2] == (count, 1)
    return _Pair(first, following, cap, np.ones(count)) if whole or depthwise else None


def _caps(graph: Graph, clip: onnx.NodeProto) -> bool:
    """Whether a Clip is a ReLU with a bound above: from 0 to a stored number."""
    least, most = ([*clip.input, "", ""][place] for place in (1, 2))
    low, high = (graph.constant(name) for name in (least, most))
    return low is not None and high is not None and float(low) == 0 < float(high)


def _channels(graph: Graph, first: onnx.NodeProto) -> int:
    weight = graph.constant(first.input[1])
    assert weight is not None
    return int(weight.shape[0])


def _weights(pair: _Pair) -> tuple[str, str]:
    return pair.first.input[1], pair.second.input[1]


def _settle(pairs: list[_Pair], weights: dict[str, NDArray[np.float64]]) -> None:
    """Find the factors of all pairs: one pair after the other, again and again, until none moves."""
    for _ in range(_ROUNDS):
        moved = 0.0
        for pair in pairs:
            first, second = (weights[name] for name in _weights(pair))
            ranges = np.abs(first).reshape(len(first), -1).max(axis=1), _reach(second, len(first))
            both = (ranges[0] > 0) & (ranges[1] > 0)  # a channel without weights stays as it is
            step = np.where(both, np.sqrt(ranges[0] / np.where(both, ranges[1], 1)), 1.0)
            step = np.clip(pair.factors * step, 1 / _MOST, _MOST) / pair.factors
            pair.factors *= step
            first /= step.reshape(-1, *[1] * (first.ndim - 1))
            _multiply(second, step)
            moved = max(moved, float(np.abs(np.log(step)).max()))
        if moved < _STEADY:
            break


def _reach(second: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The range of the weights that read each input channel of a layer: shape (count,)."""
    if _is_depthwise(second, count):
        return np.asarray(np.abs(second).reshape(count, -1).max(axis=1))
    return np.asarray(np.abs(second).max(axis=(0, *range(2, second.ndim))))


def _is_depthwise(weight: NDArray[np.float64], count: int) -> bool:
    return weight.shape[1] == 1 and weight.shape[0] == count and count > 1


def _multiply(second: NDArray[np.float64], step: NDArray[np.float64]) -> None:
    if _is_depthwise(second, len(step)):
        second *= step.reshape(-1, *[1] * (second.ndim - 1))
    else:
        second *= step.reshape(1, -1, *[1] * (second.ndim - 2))


def _change(graph: Graph, pair: _Pair) -> None:
    """Scale the weights of a pair, and the bias of its first layer."""
    first, second = (np.array(graph.constant(name), np.float64) for name in _weights(pair))
    first /= pair.factors.reshape(-1, *[1] * (first.ndim - 1))
    _multiply(second, pair.factors)
    graph.store(pair.first.input[1], first.astype(np.float32))
    graph.store(pair.second.input[1], second.astype(np.float32))
    if len(pair.first.input) > 2:
        bias = np.array(graph.constant(pair.first.input[2]), np.float64) / pair.factors
        graph.store(pair.first.input[2], bias.astype(np.float32))


def _insert_caps(graph: Graph, changed: list[_Pair]) -> None:
    """Write a bound of each channel where there was one for all: a ReLU, and the smaller of that and the bounds."""
    import onnx

    capped = {pair.cap.output[0]: pair for pair in changed if pair.cap is not None}
    nodes = []
    for node in graph.proto.node:
        pair = capped.get(node.output[0]) if node.output else None
        if pair is None:
            nodes.append(node)
            continue
        bound = float(np.asarray(graph.constant(node.input[2])))
        rank = np.asarray(graph.constant(pair.second.input[1])).ndim
        bounds, positive = f"{node.output[0]}.bounds", f"{node.output[0]}.positive"
        graph.store(bounds, (bound / pair.factors).astype(np.float32).reshape(1, -1, *[1] * (rank - 2)))
        nodes += [
            onnx.helper.make_node("Relu", [node.input[0]], [positive], f"{node.name}/Relu"),
            onnx.helper.make_node("Min", [positive, bounds], list(node.output), node.name),
        ]
    del graph.proto.node[:]
    graph.proto.node.extend(nodes)
