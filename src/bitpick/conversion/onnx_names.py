"""Give the nodes and tensors of an ONNX graph short names that still say which layer they belong to."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from bitpick.conversion.onnx_passes import rename_reads, subgraphs

if TYPE_CHECKING:
    import onnx

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def rename(model: onnx.ModelProto) -> dict[str, str]:
    """Give nodes, weights and tensors short names; the graph's inputs and outputs keep theirs.

    Converters write paths such as `model_1/conv2d_1/convolution/ReadVariableOp:0`, several per node; in an 8-bit file
    of 80 kB these names take tens of kilobytes.

    Returns:
        The original name of each tensor, by its new name.
    """
    graph = model.graph
    fixed = {v.name for v in (*graph.input, *graph.output)}
    stored = {i.name for i in graph.initializer}
    # Names inside subgraphs stay. A tensor gets the name of its node, so no node may take one of these names.
    taken = fixed | {name for node in graph.node for name in _inner_names(node)}
    layers = layer_names([(node.name or node.output[0], node.op_type) for node in graph.node], taken)
    taken.update(layers)

    new = {name: name for name in fixed}
    for node, layer in zip(graph.node, layers, strict=True):
        node.name = layer
        for name, preferred in _preferred_names(node, layer, stored):
            if name and name not in new:
                new[name] = preferred if preferred == layer else _claim(preferred, taken)
    for name in stored - new.keys():  # read only inside a subgraph
        new[name] = _claim(name, taken)
    for node in graph.node:
        rename_reads(node, new)
        node.output[:] = [new[name] if name else "" for name in node.output]
    for initializer in graph.initializer:
        initializer.name = new[initializer.name]
    return {short: original for original, short in new.items()}


def _preferred_names(node: onnx.NodeProto, layer: str, stored: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the preferred name of each output and each stored input of a node."""
    for i, name in enumerate(node.output):
        yield name, layer if i == 0 else f"{layer}.{i}"
    roles = ("input", "weight", "bias") if node.op_type in _WEIGHTED else ()
    for i, name in enumerate(node.input):
        if name in stored:
            yield name, f"{layer}.{roles[i] if i < len(roles) else f'constant{i}'}"


def _claim(name: str, taken: set[str]) -> str:
    """Claim a free name: this one, or this one with the first free number appended."""
    candidate, attempt = name, 2
    while candidate in taken:
        candidate, attempt = f"{name}_{attempt}", attempt + 1
    taken.add(candidate)
    return candidate


def _inner_names(node: onnx.NodeProto) -> set[str]:
    """Return the names that the subgraphs of a node define."""
    names: set[str] = set()
    for graph in subgraphs(node):
        names.update(v.name for v in (*graph.input, *graph.output, *graph.initializer))
        for inner in graph.node:
            names.update(inner.output)
            names |= _inner_names(inner)
    return names


def layer_names(nodes: list[tuple[str, str]], reserved: Collection[str] = ()) -> list[str]:
    """Make short unique names from converters' paths.

    Args:
        nodes: path and operator of each node, e.g. `("model_1/dense_1/MatMul/MatMulAddFusion", "Gemm")`.
        reserved: names that must not be used.

    Returns:
        A name for each node: its path without the steps that all paths share and without the last step, which repeats
        the operator (`dense_1`). If several nodes claim one name, the first with weights gets it, and the others append
        their operator.
    """
    paths = [[step for step in path.strip("/").split("/") if step] or [operator] for path, operator in nodes]
    deep = [path for path in paths if len(path) > 1]  # nodes that a converter added have no path
    shared = 0
    while deep and all(len(path) > shared + 1 and path[shared] == deep[0][shared] for path in deep):
        shared += 1
    stems = []
    for path, (_, operator) in zip(paths, nodes, strict=True):
        steps = path[shared:] if len(path) > 1 else path
        fused = operator == "Gemm" and len(steps) > 2  # .../MatMul/MatMulAddFusion
        stems.append(".".join(steps[: -2 if fused else -1] or steps))
    names: dict[int, str] = {}
    taken: set[str] = set(reserved)
    for i in sorted(range(len(nodes)), key=lambda i: nodes[i][1] not in _WEIGHTED):
        name, attempt = stems[i], 1
        while name in taken:
            name = f"{stems[i]}.{nodes[i][1].lower()}" + (f"_{attempt}" if attempt > 1 else "")
            attempt += 1
        taken.add(name)
        names[i] = name
    return [names[i] for i in range(len(nodes))]
