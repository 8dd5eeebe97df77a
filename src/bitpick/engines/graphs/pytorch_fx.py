"""What a TorchScript build executes: its graph, with the numbers of one run through it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bitpick.engines.graphs.executed import Executed, Operator, activation_grid, weight_grid
from bitpick.fingerprint import Grid

_CONVERSIONS = {"aten::quantize_per_tensor", "aten::dequantize"}
WEIGHTED = ("quantized::conv", "quantized::linear", "aten::_convolution", "aten::conv", "aten::linear")
# They only move numbers, or write them in another format.
_PLUMBING = _CONVERSIONS | {
    "aten::permute", "aten::flatten", "aten::reshape", "aten::view",
    "aten::pad", "aten::constant_pad_nd", "aten::transpose", "aten::contiguous", "aten::to", "aten::cat",
    "aten::squeeze", "aten::unsqueeze", "aten::slice", "aten::select", "aten::split", "aten::split_with_sizes",
    "aten::unflatten", "aten::flip", "aten::expand", "aten::broadcast_to", "aten::tile", "aten::stack",
    "aten::index_select", "aten::pixel_shuffle",
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
    numbers = map(_first, giving(module, graph, [value for _, *pair in found for value in pair])(sample))
    return Executed(
        tuple(_operator(module, node, given.debugName(), next(numbers), next(numbers)) for node, _, given in found),
        conversions=conversions,
    )


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


def _operator(module: Any, node: Any, name: str, taken: Any, given: Any) -> Operator:
    import torch

    kind = node.kind()
    dtype = {torch.quint8: "u8", torch.qint8: "s8"}.get(taken.dtype, str(taken.dtype).removeprefix("torch."))
    if not kind.startswith(WEIGHTED):
        return Operator(name, kind, dtype)
    path, weight = weight_of(module, node)
    positions = given.numel() // given.shape[-1 if "linear" in kind else 1]  # of one sample
    if weight.is_quantized:
        per_channel = weight.qscheme() in (torch.per_channel_affine, torch.per_channel_symmetric)
        zeros = weight.q_per_channel_zero_points().numpy() if per_channel else weight.q_zero_point()
        scales = len(weight.q_per_channel_scales()) if per_channel else 1
        grid = weight_grid(weight.int_repr().numpy(), zeros, scales, "s8")
        # The file keeps scale and zero point of an activation, not the range that its observer was given.
        activation = activation_grid(dtype, taken.q_zero_point(), bits=None)
    else:
        grid, activation = Grid(dtype=dtype), Grid(dtype=dtype)
    return Operator(path, kind, dtype, grid, activation, weight.numel(), weight.numel() * positions)


def weight_of(module: Any, node: Any) -> tuple[str, Any]:
    """The name of a node's module, and its weight."""
    import torch

    names: list[str] = []
    maker = node.inputsAt(1).node()
    while maker.kind() == "prim::GetAttr":
        names.insert(0, maker.s("name"))
        maker = maker.inputsAt(0).node()
    found = module
    for name in names:
        found = getattr(found, name)
    if "quantized::" in node.kind():
        # One axis is packed as two are.
        name = next((n for n in ("linear", "conv3d") if n in node.kind()), "conv2d")
        found = getattr(torch.ops.quantized, f"{name}_unpack")(found)[0]
    # A module that was fused and not quantized is the first of two.
    own = [name for name in names if name not in ("_packed_params", "weight")]
    return ".".join(own[:-1] if own[-1].isdigit() else own), found
