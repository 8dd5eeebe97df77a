"""Short names for an ONNX graph that still say which layer they are."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from bitpick.conversion.onnx_passes import rename_reads, subgraphs

if TYPE_CHECKING:
    import onnx

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def rename(model: onnx.ModelProto) -> dict[str, str]:
    """Give nodes, weights and tensors short names; the graph's inputs and outputs keep theirs.

    Converters write paths such as `model_1/conv2d_1/convolution/ReadVariableOp:0`, several times a node; in an 8-bit
    file of 80 kB such names are tens of kilobytes.

    Returns:
        The original name of each tensor, by its new one.
    """
    graph = model.graph
    kept = {v.name for v in (*graph.input, *graph.output)}
    stored = {i.name for i in graph.initializer}
    # Names inside subgraphs stay; a tensor has the name of its node, so nodes keep clear of all of these.
    taken = kept | {name for node in graph.node for name in _inner_names(node)}
    layers = layer_names([(node.name or node.output[0], node.op_type) for node in graph.node], taken)
    taken.update(layers)

    new = {name: name for name in kept}
    for node, layer in zip(graph.node, layers, strict=True):
        node.name = layer
        for name, wish in _wishes(node, layer, stored):
            if name and name not in new:
                new[name] = wish if wish == layer else _free(wish, taken)
    for name in stored - new.keys():  # read only inside a subgraph
        new[name] = _free(name, taken)
    for node in graph.node:
        rename_reads(node, new)
        node.output[:] = [new[name] if name else "" for name in node.output]
    for initializer in graph.initializer:
        initializer.name = new[initializer.name]
    return {short: original for original, short in new.items()}


def _wishes(node: onnx.NodeProto, layer: str, stored: Collection[str]) -> Iterator[tuple[str, str]]:
    """The names that the outputs and the stored inputs of a node would like to have."""
    for i, name in enumerate(node.output):
        yield name, layer if i == 0 else f"{layer}.{i}"
    roles = ("input", "weight", "bias") if node.op_type in _WEIGHTED else ()
    for i, name in enumerate(node.input):
        if name in stored:
            yield name, f"{layer}.{roles[i] if i < len(roles) else f'constant{i}'}"


def _free(name: str, taken: set[str]) -> str:
    """The name, or with the first number behind it that makes it free; it is taken from then on."""
    candidate, attempt = name, 2
    while candidate in taken:
        candidate, attempt = f"{name}_{attempt}", attempt + 1
    taken.add(candidate)
    return candidate


def _inner_names(node: onnx.NodeProto) -> set[str]:
    """The names that the subgraphs of a node define."""
    names: set[str] = set()
    for graph in subgraphs(node):
        names.update(v.name for v in (*graph.input, *graph.output, *graph.initializer))
        for inner in graph.node:
            names.update(inner.output)
            names |= _inner_names(inner)
    return names


def layer_names(nodes: list[tuple[str, str]], reserved: Collection[str] = ()) -> list[str]:
    """Short unique names from converters' paths.

    Args:
        nodes: path and operator of each node, e.g. `("model_1/dense_1/MatMul/MatMulAddFusion", "Gemm")`.
        reserved: names that are not to be given.

    Returns:
        A name for each: the path without what all share and without its last step, which repeats the operator
        (`dense_1`). Where several nodes claim one name, it goes to the first with weights, and the others have their
        operator behind it.
    """
    paths = [[step for step in path.strip("/").split("/") if step] or [operator] for path, operator in nodes]
    deep = [path for path in paths if len(path) > 1]  # what a converter added has no path
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
