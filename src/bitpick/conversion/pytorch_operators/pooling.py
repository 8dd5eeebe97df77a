"""Pooling over windows and over all spatial axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion.pytorch_operators.context import Context
from bitpick.conversion.pytorch_operators.padding import Pads, pad_module, spatial_pads
from bitpick.conversion.pytorch_operators.registry import operator

if TYPE_CHECKING:
    from torch import fx


@dataclass(frozen=True)
class _Windows:
    """The windows of a pooling operator. Lists have one element per spatial axis."""

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    pads: Pads
    ceil: bool

    @property
    def native(self) -> bool:
        """Whether PyTorch's pooling supports this padding: equal on both sides, at most half a window."""
        return all(b == a and 2 * b <= k for (b, a), k in zip(self.pads, self.kernel, strict=True))

    def extended_pads(self, sizes: list[int]) -> Pads:
        """Return the padding, extended to cover the last windows when output sizes are rounded up."""
        extended = []
        for i, size in enumerate(sizes):
            before, after = self.pads[i]
            span, padded = (self.kernel[i] - 1) * self.dilations[i] + 1, size + sum(self.pads[i])
            count = -(-(padded - span) // self.strides[i]) + 1
            count -= (count - 1) * self.strides[i] >= size + before  # that window would start after the input
            extended.append((before, after + max((count - 1) * self.strides[i] + span - padded, 0)))
        return extended


def _windows(context: Context) -> _Windows:
    kernel = context.attribute("kernel_shape")
    ones = [1] * len(kernel)
    strides, dilations = context.attribute("strides", ones), context.attribute("dilations", ones)
    pads = spatial_pads(context, kernel, strides, dilations)
    return _Windows(kernel, strides, dilations, pads, bool(context.attribute("ceil_mode", 0)))


def _pads(context: Context, windows: _Windows) -> Pads:
    return windows.extended_pads(context.fixed_shape(0, 2)) if windows.ceil else windows.pads


@operator("MaxPool")
def max_pool(context: Context) -> fx.Node:
    """`nn.MaxPool1d`, `nn.MaxPool2d` or `nn.MaxPool3d`, after a padding module if the padding is uneven.

    Limits: the output `Indices`.
    """
    from torch import nn

    windows = _windows(context)
    kind: Any = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[len(windows.kernel) - 1]
    shape = tuple(windows.kernel), tuple(windows.strides)
    if windows.native:
        sides = tuple(before for before, _ in windows.pads)
        return context.module(kind(*shape, sides, tuple(windows.dilations), ceil_mode=windows.ceil))
    x = pad_module(context, context.value(0), _pads(context, windows), float("-inf"))
    return context.module(kind(*shape, 0, tuple(windows.dilations)), x)


@operator("AveragePool")
def average_pool(context: Context) -> fx.Node:
    """`nn.AvgPool1d`, `nn.AvgPool2d` or `nn.AvgPool3d`, after a padding module if the padding is uneven.

    If that padding must not count, a division after the pooling removes its effect.

    Limits: dilations; a free spatial size with an uneven padding that does not count.

    Raises:
        OperatorError: there are dilations, or the padding depends on a free size.
    """
    import torch

    windows = _windows(context)
    if any(step != 1 for step in windows.dilations):
        raise context.unsupported("dilations")
    counted = bool(context.attribute("count_include_pad", 0))
    if windows.native:
        sides = tuple(before for before, _ in windows.pads)
        return context.module(_average(windows, sides, windows.ceil, counted))
    pads = _pads(context, windows)
    result = context.module(_average(windows), pad_module(context, context.value(0), pads, 0.0))
    if counted and pads == windows.pads:
        return result
    share = context.assembly.buffer(f"{context.name}_share", _share(context, windows, pads, counted))
    return context.call(torch.div, result, share)


def _average(windows: _Windows, sides: tuple[int, ...] | int = 0, ceil: bool = False, counted: bool = True) -> Any:
    from torch import nn

    kind: Any = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)[len(windows.kernel) - 1]
    return kind(tuple(windows.kernel), tuple(windows.strides), sides, ceil, counted)


def _share(context: Context, windows: _Windows, pads: Pads, counted: bool) -> NDArray[np.float32]:
    """Return the share of each window that counts."""
    import torch

    inside = np.ones((1, 1, *context.fixed_shape(0, 2)), np.float32)
    if counted:
        inside = np.pad(inside, [(0, 0), (0, 0), *windows.pads], constant_values=1)
        pads = [(0, after - original) for (_, after), (_, original) in zip(pads, windows.pads, strict=True)]
    padded = np.pad(inside, [(0, 0), (0, 0), *pads])
    share: NDArray[np.float32] = _average(windows)(torch.from_numpy(padded)).numpy()
    return share


@operator("LpPool")
def lp_pool(context: Context) -> fx.Node:
    """`torch.abs`, `torch.pow`, `nn.AvgPool…` times the window's size, and the root.

    Limits: dilations.

    Raises:
        OperatorError: there are dilations.
    """
    import torch

    windows = _windows(context)
    if any(step != 1 for step in windows.dilations):
        raise context.unsupported("dilations")
    p, pads = context.attribute("p", 2), _pads(context, windows)
    x = context.value(0)
    if any(pair != (0, 0) for pair in pads):
        x = pad_module(context, x, pads, 0.0)
    powers = context.call(torch.pow, context.call(torch.abs, x), p)
    total = context.call(torch.mul, context.module(_average(windows), powers), float(np.prod(windows.kernel)))
    return context.call(torch.pow, total, 1 / p)


@operator("GlobalAveragePool")
def global_average_pool(context: Context) -> fx.Node:
    """`nn.AdaptiveAvgPool…` to one element per channel."""
    from torch import nn

    kinds: Any = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
    return context.module(kinds[context.rank(0) - 3](1))


@operator("GlobalMaxPool")
def global_max_pool(context: Context) -> fx.Node:
    """`torch.amax` over the spatial axes: unlike `nn.AdaptiveMaxPool…`, every exporter supports it."""
    import torch

    return context.call(torch.amax, context.value(0), tuple(range(2, context.rank(0))), True)


@operator("GlobalLpPool")
def global_lp_pool(context: Context) -> fx.Node:
    """`torch.linalg.vector_norm` over the spatial axes."""
    import torch

    axes = tuple(range(2, context.rank(0)))
    return context.call(torch.linalg.vector_norm, context.value(0), context.attribute("p", 2), axes, keepdim=True)
