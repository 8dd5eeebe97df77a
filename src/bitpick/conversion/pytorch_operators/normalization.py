"""Normalization that could not be folded into a convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bitpick.conversion.pytorch_operators.context import Context, parameter
from bitpick.conversion.pytorch_operators.registry import operator

if TYPE_CHECKING:
    from torch import fx, nn


@operator("BatchNormalization")
def batch_normalization(context: Context) -> fx.Node:
    """`nn.BatchNorm1d`, `nn.BatchNorm2d` or `nn.BatchNorm3d` in inference form.

    Limits: training mode; computed statistics.

    Raises:
        OperatorError: the node is in training mode, or its statistics are computed.
    """
    import torch
    from torch import nn

    if context.attribute("training_mode", 0):
        raise context.unsupported("training mode")
    mean, variance = (context.stored(i, "statistic") for i in (3, 4))
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[context.rank(0)]
    norm = kind(len(mean), eps=context.attribute("epsilon", 1e-5))
    norm.running_mean, norm.running_var = torch.from_numpy(mean.copy()), torch.from_numpy(variance.copy())
    return context.module(_with_scale(context, norm))


@operator("InstanceNormalization")
def instance_normalization(context: Context) -> fx.Node:
    """`nn.InstanceNorm1d`, `nn.InstanceNorm2d` or `nn.InstanceNorm3d`.

    Limits: computed scales; more than three spatial axes.

    Raises:
        OperatorError: the input does not have one to three spatial axes, or the scales are computed.
    """
    from torch import nn

    kinds: dict[int, Any] = {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}
    if context.rank(0) not in kinds:
        raise context.unsupported(f"an input of {context.rank(0)} axes")
    channels = len(context.stored(1, "scale"))
    norm = kinds[context.rank(0)](channels, eps=context.attribute("epsilon", 1e-5), affine=True)
    return context.module(_with_scale(context, norm))


@operator("GroupNormalization")
def group_normalization(context: Context) -> fx.Node:
    """`nn.GroupNorm`.

    Limits: computed scales.
    """
    from torch import nn

    channels = context.fixed_shape(0, 1)[0]
    norm = nn.GroupNorm(context.attribute("num_groups"), channels, eps=context.attribute("epsilon", 1e-5))
    return context.module(_with_scale(context, norm))


@operator("LayerNormalization", "RMSNormalization")
def layer_normalization(context: Context) -> fx.Node | tuple[fx.Node, ...]:
    """`nn.LayerNorm` or `nn.RMSNorm`; `torch.mul` afterwards if the scale is computed or of another shape.

    Limits: free sizes on the normalized axes.
    """
    import torch
    from torch import nn

    axis = context.axis(-1)
    shape, epsilon = context.fixed_shape(0, axis), context.attribute("epsilon", 1e-5)
    stored_scales = all(context.is_stored(i) and list(context.shape(i)) == shape for i in (1, 2) if context.has(i))
    norm: Any
    if context.kind == "RMSNormalization":
        norm = nn.RMSNorm(shape, eps=epsilon, elementwise_affine=stored_scales)
    else:
        norm = nn.LayerNorm(shape, eps=epsilon, elementwise_affine=stored_scales, bias=stored_scales and context.has(2))
    result = context.module(_with_scale(context, norm) if stored_scales else norm)
    if not stored_scales:
        result = context.call(torch.mul, result, context.value(1))
        result = context.call(torch.add, result, context.value(2)) if context.has(2) else result
    if not (context.reads(1) or context.reads(2)):
        return result
    axes = list(range(axis, context.rank(0)))
    mean = context.call(torch.mean, context.value(0), axes, keepdim=True)
    variance = context.call(torch.var, context.value(0), axes, correction=0, keepdim=True)
    return result, mean, context.call(torch.rsqrt, context.call(torch.add, variance, epsilon))


@operator("LRN")
def local_response_normalization(context: Context) -> fx.Node:
    """`nn.LocalResponseNorm`.

    Limits: an even size.

    Raises:
        OperatorError: the size is even.
    """
    from torch import nn

    size = context.attribute("size")
    if size % 2 == 0:
        raise context.unsupported(f"the even size {size}")
    alpha, beta = context.attribute("alpha", 1e-4), context.attribute("beta", 0.75)
    return context.module(nn.LocalResponseNorm(size, alpha, beta, context.attribute("bias", 1.0)))


@operator("MeanVarianceNormalization")
def mean_variance_normalization(context: Context) -> fx.Node:
    """`torch.mean`, then a division by the standard deviation."""
    import torch

    axes, x = list(context.attribute("axes", [0, 2, 3])), context.value(0)
    centred = context.call(torch.sub, x, context.call(torch.mean, x, axes, keepdim=True))
    variance = context.call(torch.mean, context.call(torch.square, centred), axes, keepdim=True)
    return context.call(torch.div, centred, context.call(torch.add, context.call(torch.sqrt, variance), 1e-9))


@operator("LpNormalization")
def lp_normalization(context: Context) -> fx.Node:
    """`torch.nn.functional.normalize`."""
    from torch.nn import functional

    p, axis = context.attribute("p", 2), context.attribute("axis", -1)
    return context.call(functional.normalize, context.value(0), p=float(p), dim=axis)


def _with_scale(context: Context, norm: Any) -> nn.Module:
    """Set the node's scale and shift on a module, and return it."""
    for index, name in ((1, "weight"), (2, "bias")):
        if context.has(index):
            stored = context.stored(index, "scale")
            # Up to opset 20, a group normalization had one scale per group.
            repeats = norm.num_channels // len(stored) if context.kind == "GroupNormalization" else 1
            setattr(norm, name, parameter(np.repeat(stored, repeats, axis=0)))
    return norm  # type: ignore[no-any-return]
