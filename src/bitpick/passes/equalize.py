"""Cross-layer equalization: give the channels between two layers similar magnitudes without changing the function.

M. Nagel, M. van Baalen, T. Blankevoort, M. Welling, "Data-free quantization through weight equalization and bias
correction", 2019, section 4.1. If the activation between two layers scales with its input, each output channel of the
first layer can be divided by a factor and the same input channel of the second multiplied by it. The factor that makes
both ranges equal is the square root of their ratio. `norms` does the same for a layer normalization and what reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bitpick.passes import norms
from bitpick.passes.graph_pass import Applied, GraphPass
from bitpick.passes.graphs import Graph, attributes

if TYPE_CHECKING:
    import onnx

PASS = GraphPass(
    "equalize",
    "scales the channels between two layers so that their weights are of like size (cross-layer equalization)",
    "bitpick.passes.equalize:apply",
)
_ROUNDS, _CONVERGED = 40, 1e-3  # a depthwise layer belongs to two pairs, so convergence takes a few rounds
# A pair is changed only if its largest factor exceeds its smallest by this ratio. Two ResNets stay below 2.5 and lost a
# little when they were equalized; depthwise networks with unlike channels are far above.
_WORTHWHILE = 4.0
_MAX_FACTOR = 1e4  # without this limit, a nearly dead channel would take over the other side's range
_SCALING = ("Relu", "LeakyRelu", "PRelu")  # positive factors pass through them


@dataclass
class _Pair:
    """Two consecutive layers.

    Attributes:
        first: the layer whose output channels are divided.
        second: the layer whose input channels are multiplied.
        cap: the Clip between them that bounds values from above; None if there is none.
        factors: for each channel, the factor by which the first layer is divided.
    """

    first: onnx.NodeProto
    second: onnx.NodeProto
    cap: onnx.NodeProto | None
    factors: NDArray[np.float64]


def apply(source: str, out: str) -> Applied:
    """Rewrite a graph.

    Args:
        source: the `.onnx` file to read.
        out: the `.onnx` file to write.
    """
    import onnx

    model = onnx.load(source)
    graph = Graph(model)
    changed_norms = norms.equalize(graph, _WORTHWHILE)
    pairs = [pair for node in model.graph.node if (pair := _pair(graph, node)) is not None]
    if not pairs and not changed_norms:
        return _leave_unchanged(
            model,
            out,
            "no two convolutions follow each other with at most a ReLU between them, and no norm writes channels of "
            "unlike sizes",
        )
    weights = {name: np.array(graph.constant(name), np.float64) for pair in pairs for name in _weights(pair)}
    _converge(pairs, weights)
    changed = [pair for pair in pairs if pair.factors.max() > _WORTHWHILE * pair.factors.min()]
    if not changed and not changed_norms:
        return _leave_unchanged(model, out, "the channels between its layers are of like size already")
    for pair in changed:
        _scale(graph, pair)
    _insert_caps(graph, changed)
    onnx.save(model, out)
    return Applied([*changed_norms, *(pair.first.name for pair in changed)])


def _leave_unchanged(model: onnx.ModelProto, out: str, why: str) -> Applied:
    import onnx

    onnx.save(model, out)
    return Applied([], why)


def _pair(graph: Graph, first: onnx.NodeProto) -> _Pair | None:
    """Return the pair that starts with a layer; None if there is none."""
    if first.op_type != "Conv" or not graph.owned(first, 1) or not (len(first.input) < 3 or graph.owned(first, 2)):
        return None
    following, cap = graph.only_reader(first.output[0]), None
    while following is not None and following.op_type in (*_SCALING, "Clip"):
        if following.op_type == "Clip":
            if cap is not None or not _is_bounded_relu(graph, following):
                return None
            cap = following
        following = graph.only_reader(following.output[0])
    if following is None or following.op_type != "Conv" or not graph.owned(following, 1):
        return None
    count = _channels(graph, first)
    group, weight = attributes(following).get("group", 1), graph.constant(following.input[1])
    assert weight is not None
    dense = group == 1 and weight.shape[1] == count
    depthwise = group == count and weight.shape[:2] == (count, 1)
    return _Pair(first, following, cap, np.ones(count)) if dense or depthwise else None


def _is_bounded_relu(graph: Graph, clip: onnx.NodeProto) -> bool:
    """Return whether a Clip is a bounded ReLU: from 0 to a stored number."""
    low_name, high_name = ([*clip.input, "", ""][place] for place in (1, 2))
    low, high = (graph.constant(name) for name in (low_name, high_name))
    return low is not None and high is not None and float(low) == 0 < float(high)


def _channels(graph: Graph, first: onnx.NodeProto) -> int:
    weight = graph.constant(first.input[1])
    assert weight is not None
    return int(weight.shape[0])


def _weights(pair: _Pair) -> tuple[str, str]:
    return pair.first.input[1], pair.second.input[1]


def _converge(pairs: list[_Pair], weights: dict[str, NDArray[np.float64]]) -> None:
    """Find the factors of all pairs by updating one pair after another until all converge."""
    for _ in range(_ROUNDS):
        largest_step = 0.0
        for pair in pairs:
            first, second = (weights[name] for name in _weights(pair))
            ranges = np.abs(first).reshape(len(first), -1).max(axis=1), _input_ranges(second, len(first))
            scalable = (ranges[0] > 0) & (ranges[1] > 0)  # a channel without weights stays as it is
            step = np.where(scalable, np.sqrt(ranges[0] / np.where(scalable, ranges[1], 1)), 1.0)
            step = np.clip(pair.factors * step, 1 / _MAX_FACTOR, _MAX_FACTOR) / pair.factors
            pair.factors *= step
            first /= step.reshape(-1, *[1] * (first.ndim - 1))
            _multiply(second, step)
            largest_step = max(largest_step, float(np.abs(np.log(step)).max()))
        if largest_step < _CONVERGED:
            break


def _input_ranges(second: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the largest absolute weight of each input channel of a layer, of shape (count,)."""
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


def _scale(graph: Graph, pair: _Pair) -> None:
    """Scale the weights of a pair and the bias of its first layer."""
    first, second = (np.array(graph.constant(name), np.float64) for name in _weights(pair))
    first /= pair.factors.reshape(-1, *[1] * (first.ndim - 1))
    _multiply(second, pair.factors)
    graph.store(pair.first.input[1], first.astype(np.float32))
    graph.store(pair.second.input[1], second.astype(np.float32))
    if len(pair.first.input) > 2:
        bias = np.array(graph.constant(pair.first.input[2]), np.float64) / pair.factors
        graph.store(pair.first.input[2], bias.astype(np.float32))


def _insert_caps(graph: Graph, changed: list[_Pair]) -> None:
    """Replace each bounded ReLU by a ReLU and a Min with one bound for each channel."""
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
