"""Fused operators of ONNX Runtime, as its optimizer saves them, written out in standard ONNX.

They are specified in
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md; only ONNX Runtime knows them. What has no
simple equivalent stays as it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from bitpick.conversion.onnx_passes import subgraphs
from bitpick.conversion.onnx_writing import Kept, Writing, word
from bitpick.errors import ModelError

if TYPE_CHECKING:
    import onnx

_MICROSOFT = "com.microsoft"
_FOR_ONE_CPU = ("com.microsoft.nchwc", "com.ms.internal.nhwc")
_TRANSPOSED = re.compile(r"\.\.\.(ij|ji),\.\.\.(jk|kj)->\.\.\.ik")


def spell_out(model: onnx.ModelProto, opset: int, name: str) -> None:
    """Write fused operators out in standard ones, in place.

    Args:
        model: any ONNX model.
        opset: version of its standard operators.
        name: what messages call it.

    Raises:
        ModelError: its weights are stored for one kind of CPU.
    """
    attends = any(node.domain == _MICROSOFT and node.op_type == "Attention" for node in model.graph.node)
    _spell_out_graph(model.graph, opset, {}, _ranks(model) if attends else {}, name)
    _transpose(model)


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
        nodes += _spelled_out(node, graph, opset, stored, ranks)
    del graph.node[:]
    graph.node.extend(nodes)


def _transpose(model: onnx.ModelProto) -> None:
    """Make products of transposed operands, which `_fused_product` left as Einsum, plain ones: ranks are known now."""
    import onnx

    if not any(node.op_type == "Einsum" and _TRANSPOSED.fullmatch(_equation(node)) for node in model.graph.node):
        return
    ranks = _ranks(model)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        found = _TRANSPOSED.fullmatch(_equation(node)) if node.op_type == "Einsum" else None
        if found is None or not all(name in ranks for name in node.input):
            nodes.append(node)
            continue
        operands = list(node.input)
        for place, exchanged in enumerate((found[1] == "ji", found[2] == "kj")):
            if exchanged:
                *batch, rows, columns = range(ranks[node.input[place]])
                operands[place] = f"{node.output[0]}.operand{place}"
                name = f"{node.name or node.output[0]}/Transpose{place}"
                order = [*batch, columns, rows]
                ends = [node.input[place]], [operands[place]]
                nodes.append(onnx.helper.make_node("Transpose", *ends, name, perm=order))
        nodes.append(onnx.helper.make_node("MatMul", operands, list(node.output), node.name))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _equation(node: onnx.NodeProto) -> str:
    return next((attribute.s.decode() for attribute in node.attribute if attribute.name == "equation"), "")


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    """The number of axes of each tensor, where it is known."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    values = [v for v in (*graph.input, *graph.value_info, *graph.output) if v.type.tensor_type.HasField("shape")]
    stored = {initializer.name: len(initializer.dims) for initializer in graph.initializer}
    return {value.name: len(value.type.tensor_type.shape.dim) for value in values} | stored


def _spelled_out(
    node: onnx.NodeProto,
    graph: onnx.GraphProto,
    opset: int,
    stored: Mapping[str, onnx.TensorProto],
    ranks: Mapping[str, int],
) -> list[onnx.NodeProto]:
    """The standard nodes that compute what a node does; the node itself where it is one, or has no equivalent."""
    # These two are saved in the domain of ONNX, also where its operator set does not have them.
    own = node.op_type == "SimplifiedLayerNormalization" or (node.op_type == "LayerNormalization" and opset < 17)
    if node.op_type not in _OPERATORS or not (node.domain == _MICROSOFT or (own and not node.domain)):
        return [node]
    writing = Writing(node, opset, stored, ranks)
    try:
        _OPERATORS[node.op_type](writing)
    except Kept:
        return [node]
    writing.nodes[-1].output[0] = node.output[0]
    graph.initializer.extend(writing.initializers)
    return writing.nodes


def _fused_convolution(w: Writing) -> None:
    attributes = dict(w.attributes)
    activation, parameters = word(attributes.pop("activation", b"")), attributes.pop("activation_params", [])
    x = w.add("Conv", *w.inputs()[:3], **attributes)
    if w.input(3):
        x = w.add("Add", x, w.input(3))
    if activation:
        w.activation(x, activation, list(parameters))


def _fused_gemm(w: Writing) -> None:
    own = {name: value for name, value in w.attributes.items() if not name.startswith("activation")}
    parameters = [w.attributes[name] for name in ("activation_alpha", "activation_beta") if name in w.attributes]
    activation = word(w.attributes.get("activation", b""))
    x = w.add("Gemm", *w.inputs(), **own)
    if activation:
        w.keep_if(activation == "Clip")
        w.activation(x, activation, parameters)


def _fused_product(w: Writing) -> None:
    """Products of transposed operands are written by letters: that needs no rank. See `_transpose`."""
    w.keep_if(any(w.attributes.get(name) for name in ("transBatchA", "transBatchB")))
    a, b = ("ji" if w.attributes.get("transA") else "ij"), ("kj" if w.attributes.get("transB") else "jk")
    if (a, b) == ("ij", "jk"):
        x = w.add("MatMul", *w.inputs())
    else:
        x = w.add("Einsum", *w.inputs(), equation=f"...{a},...{b}->...ik")
    if (alpha := w.attributes.get("alpha", 1.0)) != 1.0:
        w.add("Mul", x, w.constant(alpha))


def _gelu(w: Writing) -> None:
    x = w.add("Add", *w.inputs()) if w.node.op_type == "BiasGelu" else w.input(0)
    error = w.add("Erf", w.add("Div", x, w.constant(math.sqrt(2))))
    w.add("Mul", w.add("Mul", x, w.add("Add", error, w.constant(1))), w.constant(0.5))


def _fast_gelu(w: Writing) -> None:
    x = w.add("Add", *w.inputs()) if w.input(1) else w.input(0)
    cube = w.add("Mul", w.add("Mul", x, x), x)
    inner = w.add("Add", x, w.add("Mul", cube, w.constant(0.044715)))
    curve = w.add("Tanh", w.add("Mul", inner, w.constant(math.sqrt(2 / math.pi))))
    w.add("Mul", w.add("Mul", x, w.add("Add", curve, w.constant(1))), w.constant(0.5))


def _quick_gelu(w: Writing) -> None:
    inner = w.add("Mul", w.input(0), w.constant(w.attributes.get("alpha", 1.702)))
    w.add("Mul", w.input(0), w.add("Sigmoid", inner))


def _layer_norm(w: Writing) -> None:
    w.alone()
    w.keep_if(w.attributes.get("axis", -1) != -1)
    w.normalized(w.input(0), w.input(1), w.input(2), w.attributes.get("epsilon", 1e-5))


def _rms_norm(w: Writing) -> None:
    w.alone()
    w.keep_if(w.attributes.get("axis", -1) != -1)
    w.scaled(w.input(0), w.input(1), w.attributes.get("epsilon", 1e-5))


def _skip_norm(w: Writing) -> None:
    w.alone(3)
    plain = w.node.op_type == "SkipSimplifiedLayerNormalization"
    bias = w.input(3 if plain else 4)
    total = w.node.output[3] if len(w.node.output) > 3 else ""
    if bias:
        x = w.add("Add", w.add("Add", w.input(0), w.input(1)), bias, output=total)
    else:
        x = w.add("Add", w.input(0), w.input(1), output=total)
    epsilon = w.attributes.get("epsilon", 1e-12)
    if plain:
        w.scaled(x, w.input(2), epsilon)
    else:
        w.normalized(x, w.input(2), w.input(3), epsilon)


def _seen(w: Writing) -> str:
    """What a mask says as 1 and 0, so that it broadcasts to scores of shape (batch, heads, length, length).

    The mask has the shape (batch, length), (batch, length, length), or (batch,): then it is the number of tokens.
    """
    mask = w.input(3)
    rank = w.ranks.get(mask)
    w.keep_if(rank not in (1, 2, 3))
    if rank == 1:
        length = w.add("Gather", w.add("Shape", w.input(0)), w.constant(1, np.int64))
        places = w.add("Range", w.constant(0, np.int64), length, w.constant(1, np.int64))
        count = w.add("Unsqueeze", w.add("Cast", mask, to=7), w.constant([1], np.int64))
        mask = w.add("Less", places, count)
    axes = [1] if rank == 3 else [1, 2]
    return w.add("Unsqueeze", w.add("Cast", mask, to=1), w.constant(axes, np.int64))


def _attention(w: Writing) -> None:
    """Attention of a sequence to itself."""
    w.alone()
    w.keep_if(any(w.inputs()[4:]) or bool(w.attributes.get("unidirectional")) or bool(w.attributes.get("do_rotary")))
    heads, weight = w.attributes["num_heads"], w.array(w.input(1))
    widths = w.attributes.get("qkv_hidden_sizes") or [weight.shape[1] // 3] * 3
    cuts = np.cumsum(widths)[:2]
    biases = np.split(w.array(w.input(2)), cuts) if w.input(2) else [None] * 3
    parts = []
    for part, bias, order in zip(
        np.split(weight, cuts, axis=1), biases, ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3)), strict=True
    ):
        x = w.add("MatMul", w.input(0), w.constant(part))
        x = x if bias is None else w.add("Add", x, w.constant(bias))
        x = w.add("Reshape", x, w.constant([0, 0, heads, part.shape[1] // heads], np.int64))
        parts.append(w.add("Transpose", x, perm=order))
    query, key, value = parts
    scale = w.attributes.get("scale") or 1 / math.sqrt(widths[0] // heads)
    scores = w.add("Mul", w.add("MatMul", query, key), w.constant(scale))
    if w.input(3):
        hidden = w.add("Sub", w.constant(1), _seen(w))
        scores = w.add("Add", scores, w.add("Mul", hidden, w.constant(w.attributes.get("mask_filter_value", -1e4))))
    mixed = w.add("MatMul", w.add("Softmax", scores, axis=-1), value)
    w.add("Reshape", w.add("Transpose", mixed, perm=(0, 2, 1, 3)), w.constant([0, 0, widths[2]], np.int64))


_OPERATORS: dict[str, Callable[[Writing], None]] = {
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
