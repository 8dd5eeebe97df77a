"""ONNX → the clean float graph that is the reference: batch norm and constants folded, dynamic batch, short names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bitpick.conversion import onnx_file
from bitpick.conversion.hop import Hop
from bitpick.errors import ModelError, OperatorError
from bitpick.model import Format

if TYPE_CHECKING:
    import onnx

MINIMUM_OPSET = 13  # per-channel QuantizeLinear
CURRENT_OPSET = 17
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")

HOP = Hop(
    Format.RAW_ONNX,
    Format.ONNX,
    environment="onnxruntime",
    packages=("onnx", "onnxruntime"),
    convert="bitpick.conversion.canonical_onnx:convert",
    trace=("bitpick.conversion.canonical_onnx:trace_source", "bitpick.conversion.canonical_onnx:trace_target"),
)


def convert(source: str, out: str) -> None:
    """Write the clean form of an ONNX file, and beside it which tensor was which (`.names.json`).

    ONNX Runtime's basic optimisations fold batch norm and constants; they depend on no hardware.

    Raises:
        ModelError: the file is no valid ONNX model, or one that was quantized already.
        OperatorError: ONNX Runtime does not know an operator.
    """
    import onnx
    import onnxruntime as ort

    original = onnx_file.load(Path(source))
    quantized = [n.name for n in original.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    if quantized:
        name = Path(source).name
        raise ModelError(
            f"the model {name} is quantized already: {quantized[0]} and {len(quantized) - 1} more nodes say so",
            expected="the trained float32 model",
        )
    if onnx_file.opset_of(original) < MINIMUM_OPSET:
        original = onnx.version_converter.convert_version(original, CURRENT_OPSET)
    _free_batch(original)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = out
    options.log_severity_level = 3
    try:
        ort.InferenceSession(original.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise OperatorError(
            f"ONNX Runtime cannot load {Path(source).name} (opset {onnx_file.opset_of(original)}): {first}"
        ) from error
    model = _with_fixed_reshapes(onnx.load(out))
    _drop_dead(model)
    names = _rename(model)
    used = {node.domain for node in model.graph.node}
    imports = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:], model.metadata_props[:], model.graph.value_info[:]
    model.opset_import.extend(imports)
    model.producer_name, model.doc_string, model.graph.name, model.graph.doc_string = "bitpick", "", "model", ""
    for node in model.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(model)
    onnx.save(model, out)
    Path(out).with_suffix(".names.json").write_text(json.dumps(names))


def trace_source(source: str, target: str, inputs: str) -> dict[str, Any]:
    """What the raw graph computes at each tensor that the clean graph still has, under the clean graph's names."""
    names: dict[str, str] = json.loads(Path(target).with_suffix(".names.json").read_text())
    clean = {original: name for name, original in names.items()}
    computed = onnx_file.intermediates(onnx_file.load(Path(source)), np.load(inputs))
    return {clean[name]: value for name, value in computed.items() if name in clean}


def trace_target(source: str, target: str, inputs: str) -> dict[str, Any]:  # noqa: ARG001 - the form of a trace
    """What the clean graph computes at each tensor."""
    return onnx_file.intermediates(onnx_file.load(Path(target)), np.load(inputs))


def _free_batch(model: onnx.ModelProto) -> None:
    """Name the batch dimension of a graph that leaves it open."""
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value"):
            dims[0].dim_param = "batch"


def _with_fixed_reshapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give each Reshape its target as a constant, where converters compute it from the shape of a tensor.

    Shape → Slice → Concat → Reshape is how they keep the batch free; a constant with one -1 does too, and importers and
    quantizers understand it. tf2onnx folds it itself in some runs and not in others, for the same model.
    """
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes = {v.name: v.type.tensor_type.shape.dim for v in (*inferred.graph.value_info, *inferred.graph.output)}
    stored = {i.name for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Reshape" or node.input[1] in stored or node.output[0] not in shapes:
            continue
        target = [d.dim_value if d.HasField("dim_value") else -1 for d in shapes[node.output[0]]]
        if target.count(-1) <= 1 and 0 not in target:
            name = f"{node.output[0]}.shape"
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(target, np.int64), name))
            node.input[1] = name
    return model


def _drop_dead(model: onnx.ModelProto) -> None:
    """Remove nodes whose results nobody reads, which ONNX Runtime keeps, and the weights that only they read.

    Weights are put in the order in which they are read, so that the same model gives the same file.
    """
    graph = model.graph
    read = {value.name for value in graph.output}
    alive: list[onnx.NodeProto] = []
    for node in reversed(graph.node):  # nodes are in topological order
        if read.intersection(node.output):
            alive.append(node)
            read.update(_reads(node))
    nodes, stored = alive[::-1], {i.name: i for i in graph.initializer}
    order = dict.fromkeys(name for node in nodes for name in sorted(_reads(node)))
    weights = [stored[name] for name in order if name in stored]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(weights)


def _reads(node: onnx.NodeProto) -> set[str]:
    """The tensors that a node reads, its subgraphs (of If, Loop) included."""
    names = set(node.input)
    for graph in _subgraphs(node):
        for inner in graph.node:
            names |= _reads(inner)
        names.update(value.name for value in graph.output)
    return names


def _rename(model: onnx.ModelProto) -> dict[str, str]:
    """Give nodes, weights and tensors short names that still say which layer they are.

    Converters write paths such as `model_1/conv2d_1/convolution/ReadVariableOp:0`, several times a node; in an 8-bit
    file of 80 kB such names are tens of kilobytes.

    Returns:
        The original name of each tensor, by its new one.
    """
    graph = model.graph
    kept = {v.name for v in (*graph.input, *graph.output)}
    stored = {i.name for i in graph.initializer}
    layers = _layer_names([(node.name or node.output[0], node.op_type) for node in graph.node])
    new: dict[str, str] = {name: name for name in kept}
    for node, layer in zip(graph.node, layers, strict=True):
        node.name = layer
        for i, name in enumerate(node.output):
            new.setdefault(name, layer if i == 0 else f"{layer}:{i}")
        roles = ("input", "weight", "bias") if node.op_type in _WEIGHTED else ()
        for i, name in enumerate(node.input):
            if name in stored:
                new.setdefault(name, f"{layer}.{roles[i] if i < len(roles) else f'constant{i}'}")
    for node in graph.node:
        _rename_reads(node, new)
        node.output[:] = [new[name] if name else "" for name in node.output]
    for initializer in graph.initializer:
        initializer.name = new.get(initializer.name, initializer.name)
    return {short: original for original, short in new.items()}


def _rename_reads(node: onnx.NodeProto, new: dict[str, str]) -> None:
    """Rename what a node reads, its subgraphs included."""
    node.input[:] = [new.get(name, name) for name in node.input]
    for graph in _subgraphs(node):
        for inner in graph.node:
            _rename_reads(inner, new)


def _subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The graphs inside a node, of If and Loop."""
    return [g for a in node.attribute for g in (*a.graphs, *([a.g] if a.HasField("g") else []))]


def _layer_names(nodes: list[tuple[str, str]]) -> list[str]:
    """Short unique names from converters' paths.

    Args:
        nodes: path and operator of each node, e.g. `("model_1/dense_1/MatMul/MatMulAddFusion", "Gemm")`.

    Returns:
        A name for each: the path without what all share and without its last step, which repeats the operator
        (`dense_1`). Where several nodes claim one name, it goes to the first with weights, and the others have their
        operator behind it.
    """
    paths = [[step for step in path.strip("/").split("/") if step] or [operator] for path, operator in nodes]
    shared = 0
    while all(len(path) > shared + 1 and path[shared] == paths[0][shared] for path in paths):
        shared += 1
    stems = []
    for path, (_, operator) in zip(paths, nodes, strict=True):
        steps = path[shared:]
        fused = operator == "Gemm" and len(steps) > 2  # .../MatMul/MatMulAddFusion
        stems.append(".".join(steps[: -2 if fused else -1] or steps))
    names: dict[int, str] = {}
    taken: set[str] = set()
    for i in sorted(range(len(nodes)), key=lambda i: nodes[i][1] not in _WEIGHTED):
        name, attempt = stems[i], 1
        while name in taken:
            name = f"{stems[i]}.{nodes[i][1].lower()}" + (f"_{attempt}" if attempt > 1 else "")
            attempt += 1
        taken.add(name)
        names[i] = name
    return [names[i] for i in range(len(nodes))]
