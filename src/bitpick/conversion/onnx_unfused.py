"""Rewrite the fused operators that ONNX Runtime's optimizer saves in standard ONNX.

Only ONNX Runtime knows them; they are specified in
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md. An operator without a simple equivalent
stays as it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from bitpick.conversion.onnx_passes import subgraphs
from bitpick.conversion.onnx_writing import Expansion, KeepNode, text
from bitpick.errors import ModelError

if TYPE_CHECKING:
    import onnx

_MICROSOFT = "com.microsoft"
_FOR_ONE_CPU = ("com.microsoft.nchwc", "com.ms.internal.nhwc")
_TRANSPOSED = re.compile(r"\.\.\.(ij|ji),\.\.\.(jk|kj)->\.\.\.ik")


def spell_out(model: onnx.ModelProto, opset: int, name: str) -> None:
    """Replace fused operators by standard ones, in place.

    Args:
        model: any ONNX model.
        opset: the version of its standard operators.
        name: the model's name in messages.

    Raises:
        ModelError: the weights are stored for one kind of CPU.
    """
    attends = any(node.domain == _MICROSOFT and node.op_type == "Attention" for node in model.graph.node)
    _spell_out_graph(model.graph, opset, {}, _ranks(model) if attends else {}, name)
    _replace_einsums(model)


def _spell_out_graph(
    graph: onnx.GraphProto, opset: int, outer: Mapping[str, onnx.TensorProto], ranks: Mapping[str, int], name: str
) -> None:
    stored = {**outer, **{initializer.name: initializer for initializer in graph.initializer}}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.domain in _FOR_ONE_CPU:
            raise ModelError(
                f"{name} was saved by ONNX Runtime's optimizer for one kind of CPU: it has nodes of {node.domain}",
                expected="a graph that other runtimes and CPUs can read",
                fix="give the original model, or save it at the optimization level extended or basic, not all",
            )
        for inner in subgraphs(node):
            _spell_out_graph(inner, opset, stored, ranks, name)
        nodes += _standard_nodes(node, graph, opset, stored, ranks)
    del graph.node[:]
    graph.node.extend(nodes)


def _replace_einsums(model: onnx.ModelProto) -> None:
    """Replace the Einsums that `_fused_product` wrote for transposed operands by MatMul: the ranks are known now."""
    import onnx

    if not any(node.op_type == "Einsum" and _TRANSPOSED.fullmatch(_equation(node)) for node in model.graph.node):
        return
    ranks = _ranks(model)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        match = _TRANSPOSED.fullmatch(_equation(node)) if node.op_type == "Einsum" else None
        if match is None or not all(name in ranks for name in node.input):
            nodes.append(node)
            continue
        operands = list(node.input)
        for index, transposed in enumerate((match[1] == "ji", match[2] == "kj")):
            if transposed:
                *batch, rows, columns = range(ranks[node.input[index]])
                operands[index] = f"{node.output[0]}.operand{index}"
                name = f"{node.name or node.output[0]}/Transpose{index}"
                order = [*batch, columns, rows]
                tensors = [node.input[index]], [operands[index]]
                nodes.append(onnx.helper.make_node("Transpose", *tensors, name, perm=order))
        nodes.append(onnx.helper.make_node("MatMul", operands, list(node.output), node.name))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _equation(node: onnx.NodeProto) -> str:
    return next((attribute.s.decode() for attribute in node.attribute if attribute.name == "equation"), "")


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    """Return the number of axes of each tensor, if known."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    values = [v for v in (*graph.input, *graph.value_info, *graph.output) if v.type.tensor_type.HasField("shape")]
    stored = {initializer.name: len(initializer.dims) for initializer in graph.initializer}
    return {value.name: len(value.type.tensor_type.shape.dim) for value in values} | stored


def _standard_nodes(
    node: onnx.NodeProto,
    graph: onnx.GraphProto,
    opset: int,
    stored: Mapping[str, onnx.TensorProto],
    ranks: Mapping[str, int],
) -> list[onnx.NodeProto]:
    """Return the standard nodes that replace a fused node; the node itself if it is standard or has no equivalent."""
    # These two are saved in ONNX's own domain, even if its opset does not have them.
    misplaced = node.op_type == "SimplifiedLayerNormalization" or (node.op_type == "LayerNormalization" and opset < 17)
    if node.op_type not in _OPERATORS or not (node.domain == _MICROSOFT or (misplaced and not node.domain)):
        return [node]
    expansion = Expansion(node, opset, stored, ranks)
    try:
        _OPERATORS[node.op_type](expansion)
    except KeepNode:
        return [node]
    expansion.nodes[-1].output[0] = node.output[0]
    graph.initializer.extend(expansion.initializers)
    return expansion.nodes


def _fused_convolution(out: Expansion) -> None:
    attributes = dict(out.attributes)
    function, parameters = text(attributes.pop("activation", b"")), attributes.pop("activation_params", [])
    x = out.add("Conv", *out.inputs()[:3], **attributes)
    if out.input(3):
        x = out.add("Add", x, out.input(3))
    if function:
        out.add_activation(x, function, list(parameters))


def _fused_gemm(out: Expansion) -> None:
    attributes = {name: value for name, value in out.attributes.items() if not name.startswith("activation")}
    parameters = [out.attributes[name] for name in ("activation_alpha", "activation_beta") if name in out.attributes]
    function = text(out.attributes.get("activation", b""))
    x = out.add("Gemm", *out.inputs(), **attributes)
    if function:
        out.keep_if(function == "Clip")
        out.add_activation(x, function, parameters)


def _fused_product(out: Expansion) -> None:
    """Write a product of transposed operands as Einsum, which needs no ranks; see `_replace_einsums`."""
    out.keep_if(any(out.attributes.get(name) for name in ("transBatchA", "transBatchB")))
    a, b = ("ji" if out.attributes.get("transA") else "ij"), ("kj" if out.attributes.get("transB") else "jk")
    if (a, b) == ("ij", "jk"):
        x = out.add("MatMul", *out.inputs())
    else:
        x = out.add("Einsum", *out.inputs(), equation=f"...{a},...{b}->...ik")
    if (alpha := out.attributes.get("alpha", 1.0)) != 1.0:
        out.add("Mul", x, out.constant(alpha))


def _gelu(out: Expansion) -> None:
    x = out.add("Add", *out.inputs()) if out.node.op_type == "BiasGelu" else out.input(0)
    error = out.add("Erf", out.add("Div", x, out.constant(math.sqrt(2))))
    out.add("Mul", out.add("Mul", x, out.add("Add", error, out.constant(1))), out.constant(0.5))


def _fast_gelu(out: Expansion) -> None:
    x = out.add("Add", *out.inputs()) if out.input(1) else out.input(0)
    cube = out.add("Mul", out.add("Mul", x, x), x)
    inner = out.add("Add", x, out.add("Mul", cube, out.constant(0.044715)))
    curve = out.add("Tanh", out.add("Mul", inner, out.constant(math.sqrt(2 / math.pi))))
    out.add("Mul", out.add("Mul", x, out.add("Add", curve, out.constant(1))), out.constant(0.5))


def _quick_gelu(out: Expansion) -> None:
    inner = out.add("Mul", out.input(0), out.constant(out.attributes.get("alpha", 1.702)))
    out.add("Mul", out.input(0), out.add("Sigmoid", inner))


def _layer_norm(out: Expansion) -> None:
    out.keep_if_outputs_beyond()
    out.keep_if(out.attributes.get("axis", -1) != -1)
    out.add_layer_norm(out.input(0), out.input(1), out.input(2), out.attributes.get("epsilon", 1e-5))


def _rms_norm(out: Expansion) -> None:
    out.keep_if_outputs_beyond()
    out.keep_if(out.attributes.get("axis", -1) != -1)
    out.add_rms_norm(out.input(0), out.input(1), out.attributes.get("epsilon", 1e-5))


def _skip_norm(out: Expansion) -> None:
    out.keep_if_outputs_beyond(3)
    is_rms = out.node.op_type == "SkipSimplifiedLayerNormalization"
    bias = out.input(3 if is_rms else 4)
    total = out.node.output[3] if len(out.node.output) > 3 else ""
    if bias:
        x = out.add("Add", out.add("Add", out.input(0), out.input(1)), bias, output=total)
    else:
        x = out.add("Add", out.input(0), out.input(1), output=total)
    epsilon = out.attributes.get("epsilon", 1e-12)
    if is_rms:
        out.add_rms_norm(x, out.input(2), epsilon)
    else:
        out.add_layer_norm(x, out.input(2), out.input(3), epsilon)


def _mask(out: Expansion) -> str:
    """Turn the mask into ones and zeros that broadcast to scores of shape (batch, heads, length, length).

    The mask has the shape (batch, length), (batch, length, length), or (batch,), which holds the numbers of tokens.
    """
    mask = out.input(3)
    rank = out.ranks.get(mask)
    out.keep_if(rank not in (1, 2, 3))
    if rank == 1:
        length = out.add("Gather", out.add("Shape", out.input(0)), out.constant(1, np.int64))
        positions = out.add("Range", out.constant(0, np.int64), length, out.constant(1, np.int64))
        count = out.add("Unsqueeze", out.add("Cast", mask, to=7), out.constant([1], np.int64))
        mask = out.add("Less", positions, count)
    axes = [1] if rank == 3 else [1, 2]
    return out.add("Unsqueeze", out.add("Cast", mask, to=1), out.constant(axes, np.int64))


def _attention(out: Expansion) -> None:
    """Write out self-attention."""
    out.keep_if_outputs_beyond()
    out.keep_if(
        any(out.inputs()[4:]) or bool(out.attributes.get("unidirectional")) or bool(out.attributes.get("do_rotary"))
    )
    heads, weight = out.attributes["num_heads"], out.array(out.input(1))
    widths = out.attributes.get("qkv_hidden_sizes") or [weight.shape[1] // 3] * 3
    cuts = np.cumsum(widths)[:2]
    biases = np.split(out.array(out.input(2)), cuts) if out.input(2) else [None] * 3
    parts = []
    for part, bias, order in zip(
        np.split(weight, cuts, axis=1), biases, ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3)), strict=True
    ):
        x = out.add("MatMul", out.input(0), out.constant(part))
        x = x if bias is None else out.add("Add", x, out.constant(bias))
        x = out.add("Reshape", x, out.constant([0, 0, heads, part.shape[1] // heads], np.int64))
        parts.append(out.add("Transpose", x, perm=order))
    query, key, value = parts
    scale = out.attributes.get("scale") or 1 / math.sqrt(widths[0] // heads)
    scores = out.add("Mul", out.add("MatMul", query, key), out.constant(scale))
    if out.input(3):
        hidden = out.add("Sub", out.constant(1), _mask(out))
        scores = out.add(
            "Add", scores, out.add("Mul", hidden, out.constant(out.attributes.get("mask_filter_value", -1e4)))
        )
    mixed = out.add("MatMul", out.add("Softmax", scores, axis=-1), value)
    out.add("Reshape", out.add("Transpose", mixed, perm=(0, 2, 1, 3)), out.constant([0, 0, widths[2]], np.int64))


_OPERATORS: dict[str, Callable[[Expansion], None]] = {
    "FusedConv": _fused_convolution,
    "FusedGemm": _fused_gemm,
    "FusedMatMul": _fused_product,
    "TransposeMatMul": _fused_product,
    "Gelu": _gelu,
    "BiasGelu": _gelu,
    "FastGelu": _fast_gelu,
    "QuickGelu": _quick_gelu,
    "LayerNormalization": _layer_norm,
    "SimplifiedLayerNormalization": _rms_norm,
    "SkipLayerNormalization": _skip_norm,
    "SkipSimplifiedLayerNormalization": _skip_norm,
    "Attention": _attention,
}
