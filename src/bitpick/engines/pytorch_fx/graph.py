"""The graph that a TorchScript build executes, with the tensors of one run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from bitpick.engines import aten_work, counting
from bitpick.engines.executed import Executed, Operator, activation_grid, dynamic_grid, weight_grid
from bitpick.schema.fingerprint import Grid

_CONVERSIONS = {"aten::quantize_per_tensor", "aten::dequantize"}
WEIGHTED = ("quantized::conv", "quantized::linear", "aten::_convolution", "aten::conv", "aten::linear")
# Operators that only move data or convert its format.
_PLUMBING = _CONVERSIONS | {
    "aten::permute", "aten::flatten", "aten::reshape", "aten::view",
    "aten::pad", "aten::constant_pad_nd", "aten::transpose", "aten::contiguous", "aten::to", "aten::cat",
    "aten::squeeze", "aten::unsqueeze", "aten::slice", "aten::select", "aten::split", "aten::split_with_sizes",
    "aten::unflatten", "aten::flip", "aten::expand", "aten::broadcast_to", "aten::tile", "aten::stack",
    "aten::index_select", "aten::pixel_shuffle", "aten::t", "aten::numpy_T", "aten::detach",
}  # fmt: skip


def executed(module: Any, sample: Any) -> Executed:
    """Return what a TorchScript module executes for a sample, given as one tensor for each input."""
    graph = module.inlined_graph.copy()
    conversions = tuple(f"{n.kind()} {n.output().debugName()}" for n in graph.nodes() if n.kind() in _CONVERSIONS)
    computing = [n for n in graph.nodes() if not n.kind().startswith("prim::") and n.kind() not in _PLUMBING]
    # Leave out nodes that compute shapes, which return integers, and nodes that create tensors from nothing.
    candidates = [(node, _tensor(node.inputs()), _tensor(node.outputs())) for node in computing]
    nodes = [
        (node, first_input, first_output)
        for node, first_input, first_output in candidates
        if first_input is not None and first_output is not None
    ]
    # The file stores no shapes, so run the graph for them.
    values = [(first_input, first_output, *_operands(node)) for node, first_input, first_output in nodes]
    tensors = iter(with_outputs(module, graph, [value for group in values for value in group])(sample))
    counted: set[str] = set()
    return Executed(
        tuple(
            _operator(module, node, first_output.debugName(), [next(tensors) for _ in group], counted)
            for (node, _, first_output), group in zip(nodes, values, strict=True)
        ),
        conversions=conversions,
    )


def _operands(node: Any) -> list[Any]:
    """Return the operands that a float operator multiplies, in call order; for an einsum or LSTM, a list of them."""
    name = aten_work.name_of(node.kind())
    inputs = list(node.inputs())
    if name in aten_work.OPERANDS:
        return [inputs[place] for place in sorted({0, *aten_work.OPERANDS[name]} - ({0} if "add" in name else set()))]
    if name in aten_work.RECURRENT:
        return [inputs[aten_work.RECURRENT[name]]]
    if name == "einsum":
        return [inputs[1]]
    return inputs[:3] if name == "scaled_dot_product_attention" else []


def _tensor(values: Iterable[Any]) -> Any:
    """Return the first tensor, or list of tensors, among a node's inputs or outputs; None if there is none."""
    for value in values:
        kind = value.type()
        if kind.kind() == "TensorType" or (kind.kind() == "ListType" and kind.getElementType().kind() == "TensorType"):
            return value
    return None


def _first(numbers: Any) -> Any:
    """Return a tensor itself, or the first of a list."""
    return numbers[0] if isinstance(numbers, (list, tuple)) else numbers


def with_outputs(module: Any, graph: Any, values: list[Any]) -> Callable[[Any], Any]:
    """Change a copy of a module's graph to return some of its inner values, and return a function that runs it.

    The function takes a tuple with one tensor for each input.
    """
    import torch

    outputs = graph.appendNode(graph.create("prim::TupleConstruct", values, 1))
    outputs.output().setType(torch._C.TupleType([value.type() for value in values]))  # noqa: SLF001 - no public way
    graph.eraseOutput(0)
    graph.registerOutput(outputs.output())
    function = torch._C._create_function_from_graph("inside", graph)  # noqa: SLF001 - no public way

    def run(batch: Any) -> Any:
        with torch.inference_mode():
            return function(module._c, *batch)  # noqa: SLF001 - the graph takes the module's C++ object

    return run


def _operator(module: Any, node: Any, name: str, tensors: list[Any], counted: set[str]) -> Operator:
    """Return what a node computes.

    Args:
        module: the build's module.
        node: the node.
        name: the name of its output.
        tensors: its first input, its first output, and its operands.
        counted: the weights of earlier nodes; its own are added.
    """
    import torch

    kind = node.kind()
    input_, output, *operands = tensors
    input_, output = _first(input_), _first(output)
    dtype = {torch.quint8: "u8", torch.qint8: "s8"}.get(input_.dtype, str(input_.dtype).removeprefix("torch."))
    if not kind.startswith("quantized::") or not kind.startswith(WEIGHTED):
        return _float(module, node, name, dtype, output, operands, counted)
    path, weight = weight_of(module, node)
    per_channel = weight.qscheme() in (torch.per_channel_affine, torch.per_channel_symmetric)
    zeros = weight.q_per_channel_zero_points().numpy() if per_channel else weight.q_zero_point()
    scales = len(weight.q_per_channel_scales()) if per_channel else 1
    transposed = "transpose" in kind
    grid = weight_grid(weight.int_repr().numpy(), zeros, scales, "s8", weight.shape[1 if transposed else 0])
    # The file stores scale and zero point of an activation, but not its observer's quantization range.
    activation = activation_grid(dtype, input_.q_zero_point(), bits=None) if input_.is_quantized else dynamic_grid("s8")
    weight_shape, output_shape = tuple(weight.shape), tuple(output.shape)
    if transposed:
        macs = counting.transposed_convolution(weight_shape, tuple(input_.shape), input_.shape[1])
    else:
        macs = (
            counting.product(output_shape, weight_shape[1])
            if "linear" in kind
            else counting.convolution(weight_shape, output_shape, output_shape[1])
        )
    size = 0 if path in counted else weight.numel()
    counted.add(path)
    return Operator(path, kind, dtype if input_.is_quantized else "s8", grid, activation, size, macs)


def _float(
    module: Any, node: Any, name: str, dtype: str, output: Any, operands: list[Any], counted: set[str]
) -> Operator:
    """Return an operator without quantized weights."""
    kind, operator_name = node.kind(), aten_work.name_of(node.kind())
    inputs = list(node.inputs())
    if operator_name in aten_work.RECURRENT:
        places = list(inputs[aten_work.RECURRENT[operator_name]].node().inputs())
        weights = [place for place, each in zip(places, operands[0], strict=True) if each.ndim > 1]
        macs = counting.recurrent(
            sum(each.numel() for each in operands[0] if each.ndim > 1),
            (*output.shape[:-1], 1),
        )
    elif operator_name == "einsum":
        weights = list(inputs[1].node().inputs())
        macs = counting.einsum(inputs[0].toIValue(), [tuple(each.shape) for each in operands[0]])
    elif operator_name in aten_work.TABLES:
        weights, macs = [inputs[aten_work.TABLES[operator_name]]], 0
    elif operator_name in aten_work.OPERANDS or operator_name == "scaled_dot_product_attention":
        weights = [inputs[place] for place in aten_work.OPERANDS.get(operator_name, ())]
        transposed = "convolution" in operator_name and bool(inputs[6].toIValue())
        macs = aten_work.macs(operator_name, [tuple(each.shape) for each in operands], tuple(output.shape), transposed)
    else:
        return Operator(name, kind, dtype, uncounted=operator_name in aten_work.UNKNOWN)
    stored = {path: value for each in weights if (entry := _attribute(module, each)) for path, value in [entry]}
    if not stored:
        return Operator(name, kind, dtype, macs=macs)
    size = sum(value.numel() for path, value in stored.items() if path not in counted)
    counted.update(stored)
    module_name = _module_name(next(iter(stored)).split("."))
    grid = Grid(dtype="float32" if operator_name in aten_work.TABLES else dtype)
    activation = None if operator_name in aten_work.TABLES else Grid(dtype=dtype)
    return Operator(module_name, kind, grid.dtype, grid, activation, size, macs)


def _attribute(module: Any, value: Any) -> tuple[str, Any] | None:
    """Return path and value of the stored tensor behind a value, possibly transposed; None if it is computed."""
    node = value.node()
    while node.kind() in ("aten::t", "aten::transpose", "aten::permute", "aten::numpy_T", "aten::detach"):
        node = node.inputsAt(0).node()
    names, tensor = _stored(module, node)
    return (".".join(names), tensor) if names and hasattr(tensor, "numel") else None


def _stored(module: Any, node: Any) -> tuple[list[str], Any]:
    """Return the path of a chain of `prim::GetAttr` from a module and the object at its end."""
    names: list[str] = []
    while node.kind() == "prim::GetAttr":
        names.insert(0, node.s("name"))
        node = node.inputsAt(0).node()
    return names, functools.reduce(getattr, names, module)


def weight_of(module: Any, node: Any) -> tuple[str, Any]:
    """Return the name of a node's module, and its weight."""
    import torch

    names, weight = _stored(module, node.inputsAt(1).node())
    if "quantized::" in node.kind():
        # A one-dimensional convolution is packed like a two-dimensional one.
        name = next((n for n in ("linear", "conv3d") if n in node.kind()), "conv2d")
        weight = getattr(torch.ops.quantized, f"{name}_unpack")(weight)[0]
    return _module_name(names), weight


def _module_name(names: list[str]) -> str:
    """Return the name of the module that owns the weight at a path."""
    # A module that was fused but not quantized is the first of a pair.
    module_path = [name for name in names if name not in ("_packed_params", "weight")] or names
    return ".".join(module_path[:-1] if module_path[-1].isdigit() else module_path)
