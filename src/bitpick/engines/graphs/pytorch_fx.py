"""What a TorchScript build executes: its graph, with the numbers of one run through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bitpick.engines.graphs.executed import Executed, Operator, activation_grid, weight_grid
from bitpick.fingerprint import Grid

_CONVERSIONS = {"aten::quantize_per_tensor", "aten::dequantize"}
WEIGHTED = ("quantized::conv", "quantized::linear", "aten::_convolution", "aten::conv", "aten::linear")
# They only move numbers, or write them in another format.
_PLUMBING = _CONVERSIONS | {
    "aten::permute", "aten::flatten", "aten::reshape", "aten::view",
    "aten::pad", "aten::constant_pad_nd", "aten::transpose", "aten::contiguous", "aten::to", "aten::cat",
    "aten::squeeze", "aten::unsqueeze", "aten::slice",
}  # fmt: skip


def executed(module: Any, sample: Any) -> Executed:
    """Read off what a TorchScript module executes for a sample, a tensor for each input."""
    graph = module.inlined_graph.copy()
    conversions = tuple(f"{n.kind()} {n.output().debugName()}" for n in graph.nodes() if n.kind() in _CONVERSIONS)
    nodes = [n for n in graph.nodes() if not n.kind().startswith("prim::") and n.kind() not in _PLUMBING]
    # The file itself keeps no shapes.
    numbers = giving(module, graph, [v for node in nodes for v in (node.inputsAt(0), node.output())])(sample)
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return Executed(
        tuple(_operator(module, node, *pair) for node, pair in zip(nodes, pairs, strict=True)), conversions=conversions
    )


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


def _operator(module: Any, node: Any, taken: Any, given: Any) -> Operator:
    import torch

    kind = node.kind()
    dtype = {torch.quint8: "u8", torch.qint8: "s8"}.get(taken.dtype, str(taken.dtype).removeprefix("torch."))
    if not kind.startswith(WEIGHTED):
        return Operator(node.output().debugName(), kind, dtype)
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
