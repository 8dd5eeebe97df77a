"""What a TorchScript build executes: its graph, with the numbers of one run through it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from bitpick.engines import aten_work, counting
from bitpick.engines.executed import Executed, Operator, activation_grid, dynamic_grid, weight_grid
from bitpick.schema.fingerprint import Grid

_CONVERSIONS = {"aten::quantize_per_tensor", "aten::dequantize"}
WEIGHTED = ("quantized::conv", "quantized::linear", "aten::_convolution", "aten::conv", "aten::linear")
# They only move numbers, or write them in another format.
_PLUMBING = _CONVERSIONS | {
    "aten::permute", "aten::flatten", "aten::reshape", "aten::view",
    "aten::pad", "aten::constant_pad_nd", "aten::transpose", "aten::contiguous", "aten::to", "aten::cat",
    "aten::squeeze", "aten::unsqueeze", "aten::slice", "aten::select", "aten::split", "aten::split_with_sizes",
    "aten::unflatten", "aten::flip", "aten::expand", "aten::broadcast_to", "aten::tile", "aten::stack",
    "aten::index_select", "aten::pixel_shuffle", "aten::t", "aten::numpy_T", "aten::detach",
}  # fmt: skip


def executed(module: Any, sample: Any) -> Executed:
    """Read off what a TorchScript module executes for a sample, a tensor for each input."""
    graph = module.inlined_graph.copy()
    conversions = tuple(f"{n.kind()} {n.output().debugName()}" for n in graph.nodes() if n.kind() in _CONVERSIONS)
    computing = [n for n in graph.nodes() if not n.kind().startswith("prim::") and n.kind() not in _PLUMBING]
    # Without those that compute on shapes, which give integers, and those that make a tensor of nothing.
    ends = [(node, _tensor(node.inputs()), _tensor(node.outputs())) for node in computing]
    found = [(node, taken, given) for node, taken, given in ends if taken is not None and given is not None]
    # The file itself keeps no shapes.
    wanted = [(taken, given, *_operands(node)) for node, taken, given in found]
    numbers = iter(giving(module, graph, [value for each in wanted for value in each])(sample))
    counted: set[str] = set()
    return Executed(
        tuple(
            _operator(module, node, given.debugName(), [next(numbers) for _ in each], counted)
            for (node, _, given), each in zip(found, wanted, strict=True)
        ),
        conversions=conversions,
    )


def _operands(node: Any) -> list[Any]:
    """What an operator of PyTorch's own multiplies, in the order of its call; an einsum and an LSTM have lists."""
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
    """The first tensor, or list of tensors, among what a node takes or gives; None where there is none."""
    for value in values:
        kind = value.type()
        if kind.kind() == "TensorType" or (kind.kind() == "ListType" and kind.getElementType().kind() == "TensorType"):
            return value
    return None


def _first(numbers: Any) -> Any:
    """A tensor itself, the first one of a list."""
    return numbers[0] if isinstance(numbers, (list, tuple)) else numbers


def giving(module: Any, graph: Any, wanted: list[Any]) -> Callable[[Any], Any]:
    """A function that runs a graph, a copy of a module's own, which is changed to give some of its values instead.

    It takes a tuple with a tensor for each input.
    """
    import torch

    both = graph.appendNode(graph.create("prim::TupleConstruct", wanted, 1))
    both.output().setType(torch._C.TupleType([value.type() for value in wanted]))  # noqa: SLF001 - no public way
    graph.eraseOutput(0)
    graph.registerOutput(both.output())
    function = torch._C._create_function_from_graph("inside", graph)  # noqa: SLF001 - no public way

    def run(batch: Any) -> Any:
        with torch.inference_mode():
            return function(module._c, *batch)  # noqa: SLF001 - the module as the graph takes it

    return run


def _operator(module: Any, node: Any, name: str, numbers: list[Any], counted: set[str]) -> Operator:
    """What a node computes.

    Args:
        module: the build.
        node: the node.
        name: of what it gives.
        numbers: what it takes first, what it gives first, and what it multiplies.
        counted: the weights that nodes before it have; its own are added.
    """
    import torch

    kind = node.kind()
    taken, given, *operands = numbers
    taken, given = _first(taken), _first(given)
    dtype = {torch.quint8: "u8", torch.qint8: "s8"}.get(taken.dtype, str(taken.dtype).removeprefix("torch."))
    if not kind.startswith("quantized::") or not kind.startswith(WEIGHTED):
        return _float(module, node, name, dtype, given, operands, counted)
    path, weight = weight_of(module, node)
    per_channel = weight.qscheme() in (torch.per_channel_affine, torch.per_channel_symmetric)
    zeros = weight.q_per_channel_zero_points().numpy() if per_channel else weight.q_zero_point()
    scales = len(weight.q_per_channel_scales()) if per_channel else 1
    transposed = "transpose" in kind
    grid = weight_grid(weight.int_repr().numpy(), zeros, scales, "s8", weight.shape[1 if transposed else 0])
    # The file keeps scale and zero point of an activation, not the range that its observer was given.
    activation = activation_grid(dtype, taken.q_zero_point(), bits=None) if taken.is_quantized else dynamic_grid("s8")
    whole, out = tuple(weight.shape), tuple(given.shape)
    if transposed:
        macs = counting.transposed_convolution(whole, tuple(taken.shape), taken.shape[1])
    else:
        macs = counting.product(out, whole[1]) if "linear" in kind else counting.convolution(whole, out, out[1])
    size = 0 if path in counted else weight.numel()
    counted.add(path)
    return Operator(path, kind, dtype if taken.is_quantized else "s8", grid, activation, size, macs)


def _float(
    module: Any, node: Any, name: str, dtype: str, given: Any, operands: list[Any], counted: set[str]
) -> Operator:
    """An operator of PyTorch's own, which computes in float."""
    kind, called = node.kind(), aten_work.name_of(node.kind())
    inputs = list(node.inputs())
    if called in aten_work.RECURRENT:
        places = list(inputs[aten_work.RECURRENT[called]].node().inputs())
        weights = [place for place, each in zip(places, operands[0], strict=True) if each.ndim > 1]
        macs = counting.recurrent(
            sum(each.numel() for each in operands[0] if each.ndim > 1),
            (*given.shape[:-1], 1),
        )
    elif called == "einsum":
        weights = list(inputs[1].node().inputs())
        macs = counting.einsum(inputs[0].toIValue(), [tuple(each.shape) for each in operands[0]])
    elif called in aten_work.TABLES:
        weights, macs = [inputs[aten_work.TABLES[called]]], 0
    elif called in aten_work.OPERANDS or called == "scaled_dot_product_attention":
        weights = [inputs[place] for place in aten_work.OPERANDS.get(called, ())]
        transposed = "convolution" in called and bool(inputs[6].toIValue())
        macs = aten_work.macs(called, [tuple(each.shape) for each in operands], tuple(given.shape), transposed)
    else:
        return Operator(name, kind, dtype, uncounted=called in aten_work.UNKNOWN)
    stored = {path: value for each in weights if (found := _attribute(module, each)) for path, value in [found]}
    if not stored:
        return Operator(name, kind, dtype, macs=macs)
    size = sum(value.numel() for path, value in stored.items() if path not in counted)
    counted.update(stored)
    own = _module_name(next(iter(stored)).split("."))
    grid = Grid(dtype="float32" if called in aten_work.TABLES else dtype)
    activation = None if called in aten_work.TABLES else Grid(dtype=dtype)
    return Operator(own, kind, grid.dtype, grid, activation, size, macs)


def _attribute(module: Any, value: Any) -> tuple[str, Any] | None:
    """The path and the numbers of a stored tensor behind a value, which may be transposed; None if it is computed."""
    node = value.node()
    while node.kind() in ("aten::t", "aten::transpose", "aten::permute", "aten::numpy_T", "aten::detach"):
        node = node.inputsAt(0).node()
    names, found = _stored(module, node)
    return (".".join(names), found) if names and hasattr(found, "numel") else None


def _stored(module: Any, node: Any) -> tuple[list[str], Any]:
    """The path that a chain of `prim::GetAttr` follows from a module, and what is there; the module without a chain."""
    names: list[str] = []
    while node.kind() == "prim::GetAttr":
        names.insert(0, node.s("name"))
        node = node.inputsAt(0).node()
    return names, functools.reduce(getattr, names, module)


def weight_of(module: Any, node: Any) -> tuple[str, Any]:
    """The name of a node's module, and its weight."""
    import torch

    names, found = _stored(module, node.inputsAt(1).node())
    if "quantized::" in node.kind():
        # One axis is packed as two are.
        name = next((n for n in ("linear", "conv3d") if n in node.kind()), "conv2d")
        found = getattr(torch.ops.quantized, f"{name}_unpack")(found)[0]
    return _module_name(names), found


def _module_name(names: list[str]) -> str:
    """The name of the module that a weight with such a path belongs to."""
    # A module that was fused and not quantized is the first of two.
    own = [name for name in names if name not in ("_packed_params", "weight")] or names
    return ".".join(own[:-1] if own[-1].isdigit() else own)
