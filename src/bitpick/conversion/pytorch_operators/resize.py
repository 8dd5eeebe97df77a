"""The operator Resize."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion.pytorch_operators.context import Context
from bitpick.conversion.pytorch_operators.registry import operator

if TYPE_CHECKING:
    from torch import fx


@operator("Resize")
def resize(context: Context) -> fx.Node:
    """`nn.Upsample`: nearest, linear on one to three axes, cubic on two; else `torch.index_select` and `torch.lerp`.

    Limits: cubic in coordinate modes other than `half_pixel` and `align_corners`; `antialias`,
    `exclude_outside`, `tf_crop_and_resize`; axes other than spatial ones; aspect ratio policies.

    Raises:
        OperatorError: `nn.Upsample` does not support the mode on these axes, or one of the limits above applies.
    """
    import torch
    from torch import nn

    rank = context.rank(0)
    scales, sizes = _targets(context)
    _refuse(context)
    mode, coordinates = context.attribute("mode", "nearest"), _coordinates(context)
    if mode == "nearest":
        input_sizes = context.fixed_shape(0, 2)
        indices = [_nearest(context, n, size, scale) for n, size, scale in zip(input_sizes, sizes, scales, strict=True)]
        default_indices = [np.arange(size) * n // size for n, size in zip(input_sizes, sizes, strict=True)]
        if rank <= 5 and all(np.array_equal(*pair) for pair in zip(indices, default_indices, strict=True)):
            return context.module(nn.Upsample(size=tuple(sizes), mode="nearest"))
        x = context.value(0)
        for axis, index in enumerate(indices, start=2):
            x = context.call(torch.index_select, x, axis, context.assembly.buffer(f"{context.name}_index{axis}", index))
        return x
    pixels = coordinates == "half_pixel" or (coordinates == "pytorch_half_pixel" and 1 not in sizes)
    if mode == "linear" and not (pixels or coordinates == "align_corners"):
        return _linear(context, scales, sizes)
    names = {"linear": {3: "linear", 4: "bilinear", 5: "trilinear"}, "cubic": {4: "bicubic"}}
    kind = names[mode].get(rank)
    if kind is None or not (pixels or coordinates == "align_corners"):
        raise context.unsupported(f"the mode {mode} with {coordinates} on {rank} axes")
    if mode == "cubic" and context.attribute("cubic_coeff_a", -0.75) != -0.75:
        raise context.unsupported("another cubic_coeff_a than -0.75")
    align = coordinates == "align_corners"
    if align or all(int(n * s) == n * s for n, s in zip(context.fixed_shape(0, 2), scales, strict=True)):
        return context.module(nn.Upsample(size=tuple(sizes), mode=kind, align_corners=align))
    return context.module(nn.Upsample(scale_factor=tuple(scales), mode=kind, align_corners=align))


def _refuse(context: Context) -> None:
    for name in ("antialias", "exclude_outside"):
        if context.attribute(name, 0):
            raise context.unsupported(name)
    if context.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise context.unsupported(f"the policy {context.attribute('keep_aspect_ratio_policy')}")


def _coordinates(context: Context) -> str:
    mode: str = context.attribute("coordinate_transformation_mode", "half_pixel")
    return mode


def _targets(context: Context) -> tuple[list[float], list[int]]:
    """Return the requested scale and output size of each spatial axis."""
    axes = context.attribute("axes", list(range(context.rank(0))))
    axes = [axis % context.rank(0) for axis in axes]
    shape = context.shape(0)
    if context.has(3):
        requested = context.sizes(3, "size")
        scales = [1.0 if size == shape[axis] else 0.0 for axis, size in zip(axes, requested, strict=True)]
    else:
        scales = [float(scale) for scale in context.stored(2, "scale")]
        requested = []
    if any(axis < 2 and scale != 1 for axis, scale in zip(axes, scales, strict=True)):
        raise context.unsupported("other axes than spatial ones to resize")
    all_scales, sizes = [1.0] * context.rank(0), [0, 0, *context.fixed_shape(0, 2)]
    for i, axis in enumerate(axes):
        if axis >= 2:
            size = requested[i] if requested else int(np.floor(np.float32(sizes[axis]) * np.float32(scales[i])))
            assert isinstance(size, int)
            all_scales[axis] = size / sizes[axis] if requested else scales[i]
            sizes[axis] = size
    return all_scales[2:], sizes[2:]


def _linear(context: Context, scales: list[float], sizes: list[int]) -> fx.Node:
    """Interpolate linearly, axis by axis, between the elements on both sides of a position."""
    import torch

    x = context.value(0)
    for axis, (length, size, scale) in enumerate(zip(context.fixed_shape(0, 2), sizes, scales, strict=True), start=2):
        if scale == 1 and size == length:
            continue
        position = np.clip(_positions(context, length, size, scale), 0, length - 1)
        below = np.floor(position).astype(np.int64)
        sides = [
            context.call(torch.index_select, x, axis, context.assembly.buffer(f"{context.name}_{name}{axis}", index))
            for name, index in (("below", below), ("above", np.minimum(below + 1, length - 1)))
        ]
        share = (position - below).astype(np.float32).reshape(-1, *[1] * (context.rank(0) - 1 - axis))
        x = context.call(torch.lerp, *sides, context.assembly.buffer(f"{context.name}_share{axis}", share))
    return x


def _positions(context: Context, length: int, size: int, scale: float) -> NDArray[Any]:
    """Return the position on the input axis of each element of the resized axis, by ONNX's formulas."""
    mode, i = _coordinates(context), np.arange(size, dtype=np.float32)
    factor = np.float32(scale)
    if mode == "align_corners":
        return i * np.float32(length - 1) / np.float32(size - 1) if size > 1 else np.zeros(1)
    if mode == "asymmetric":
        return i / factor
    if mode in ("half_pixel", "pytorch_half_pixel"):
        x = (i + np.float32(0.5)) / factor - np.float32(0.5)
        return np.zeros(1) if mode == "pytorch_half_pixel" and size == 1 else x
    raise context.unsupported(f"the coordinate mode {mode}")


def _nearest(context: Context, length: int, size: int, scale: float) -> NDArray[np.int64]:
    """Return the index on the input axis of each element of the resized axis."""
    x = _positions(context, length, size, scale)
    rounding = context.attribute("nearest_mode", "round_prefer_floor")
    if rounding.startswith("round"):
        rounded = np.ceil(x - 0.5) if rounding == "round_prefer_floor" else np.floor(x + 0.5)
    else:
        rounded = np.floor(x) if rounding == "floor" else np.ceil(x)
    index: NDArray[np.int64] = np.clip(rounded, 0, length - 1).astype(np.int64)
    return index
