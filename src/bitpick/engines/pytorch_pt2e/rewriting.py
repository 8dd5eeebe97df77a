"""Rewrite an exported program where PyTorch would compile it wrongly after quantization."""

from __future__ import annotations

from typing import Any

_CONVOLUTION: tuple[Any, ...] = (None, None, None, (1,), (0,), (1,), 1)  # the operator's defaults for one spatial axis


def rewrite(program: Any) -> None:
    """Rewrite an exported program so that PyTorch compiles it correctly after quantization."""
    _add_zero_channel(program)
    _make_two_dimensional(program)
    program.recompile()


def _make_two_dimensional(program: Any) -> None:
    """Turn 1-d convolutions into 2-d convolutions whose first spatial axis has size one.

    When compiled, a 1-d integer convolution returns an output as long as its input, whatever its kernel and padding
    (PyTorch 2.13).
    """
    import torch

    aten = torch.ops.aten
    stored = dict(program.named_parameters())
    for node in list(program.graph.nodes):
        if node.target != aten.conv1d.default or stored.get(node.args[1].target) is None:
            continue
        arguments: tuple[Any, ...] = node.args + _CONVOLUTION[len(node.args) :]
        data, weight, bias, stride, padding, dilation, groups = arguments
        if stored[weight.target].ndim == 3:  # a shared weight is already converted
            stored[weight.target].data = stored[weight.target].data.unsqueeze(2)
            weight.meta["val"] = weight.meta["val"].unsqueeze(2)
        with program.graph.inserting_before(node):
            unsqueezed = program.graph.call_function(aten.unsqueeze.default, (data, 2))
        unsqueezed.meta = {**node.meta, "val": data.meta["val"].unsqueeze(2)}
        node.target = aten.conv2d.default
        node.args = (unsqueezed, weight, bias, [1, *stride], [0, *padding], [1, *dilation], groups)
        users = list(node.users)
        # Keep the activation next to the convolution, so that both are fused.
        fused = len(users) == 1 and users[0].target in (aten.relu.default, aten.relu_.default)
        convolution = [node, *(users if fused else ())]
        for each in convolution:
            each.meta = {**each.meta, "val": each.meta["val"].unsqueeze(2)}
        with program.graph.inserting_after(convolution[-1]):
            squeezed = program.graph.call_function(aten.squeeze.dim, (convolution[-1], 2))
        squeezed.meta = {**convolution[-1].meta, "val": convolution[-1].meta["val"].squeeze(2)}
        convolution[-1].replace_all_uses_with(squeezed, delete_user_cb=lambda user, kept=squeezed: user is not kept)


def _add_zero_channel(program: Any) -> None:
    """Give convolutions with a single input channel a second one of zeros.

    When compiled, the operator after an integer convolution of a single channel reads the data in the wrong order:
    strides do not distinguish channels-first from channels-last (PyTorch 2.13).
    """
    import torch

    aten = torch.ops.aten
    for node in list(program.graph.nodes):
        if node.target not in (aten.conv1d.default, aten.conv2d.default, aten.conv3d.default):
            continue
        data, stored = node.args[:2]
        weight = dict(program.named_parameters()).get(stored.target)
        if weight is None or weight.shape[1] != 1 or (node.args[6:] or (1,))[0] != 1:
            continue
        padding = [0, 0] * (weight.ndim - 2) + [0, 1]
        with program.graph.inserting_before(node):
            padded = program.graph.call_function(aten.constant_pad_nd.default, (data, padding))
        padded.meta = {**node.meta, "val": aten.constant_pad_nd.default(data.meta["val"], padding)}
        node.args = (padded, *node.args[1:])
        weight.data = torch.cat([weight.data, torch.zeros_like(weight.data)], dim=1)
