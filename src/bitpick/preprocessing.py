"""Turn stored samples into a model's inputs."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Arrays = tuple[NDArray[Any], ...]
"""A batch: an array of shape (n, …) for each input, or each output, of a model, in the model's order."""

Dtype = Literal["float32", "float16", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"]
"""The dtypes of a model's inputs."""

_STRICT = ConfigDict(frozen=True, extra="forbid")


class Decoding(BaseModel):
    """How an image file became a stored sample: pixels of shape (height, width, channels), uint8.

    Attributes:
        height: of the stored sample, in pixels.
        width: of the stored sample, in pixels.
        channels: 1 for grey; 3 for red, green and blue.
        fit: `stretch` to the size; `crop` the middle after the shorter side is resized to fit; `pad` with zeros after
            the longer side is resized to fit.
        resize: length of the shorter side before a crop, if it is not the size itself.
        interpolation: Pillow's name for the filter.
    """

    model_config = _STRICT

    height: int
    width: int
    channels: Literal[1, 3] = 3
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    resize: int | None = None
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"


class Preprocessing(BaseModel):
    """Compute `(float32(sample) - offset) / scale` from a stored sample, and put the channels in the model's order.

    Attributes:
        shape: the shape that a sample is given first, if it is stored in another one.
        stored_channels_first: whether stored samples have their channels first; they are moved to the last axis.
        offset: subtracted from each value; a number, or one for each channel of the last axis.
        scale: divides the difference; a number, or one for each channel. The defaults keep the raw values.
        reverse_channels: whether to reverse the order of the channels, to blue, green, red.
        channels_first: whether the model takes the channels before the other axes of a sample.
        dtype: what the model takes. Integers (tokens, categories) are passed on unchanged.
        decoding: how the stored samples were made from image files; None if the user stored arrays.
    """

    model_config = _STRICT

    shape: tuple[int, ...] | None = None
    stored_channels_first: bool = False
    offset: float | tuple[float, ...] = 0.0
    scale: float | tuple[float, ...] = 1.0
    reverse_channels: bool = False
    channels_first: bool = False
    dtype: Dtype = "float32"
    decoding: Decoding | None = None

    def __call__(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Prepare a batch.

        Args:
            batch: array of shape (n, …), any numeric dtype.

        Returns:
            Array of `dtype` in C order, of the same shape except for the position of the channels.
        """
        # A copy: stored samples are memory-mapped, and must not be written to.
        prepared = np.array(batch, dtype=np.float32 if self._rescales else self.dtype)
        if self.shape is not None:
            prepared = prepared.reshape(len(prepared), *self.shape)
        if self.stored_channels_first:
            prepared = np.moveaxis(prepared, 1, -1)
        if self._rescales:
            prepared = (prepared - np.asarray(self.offset, np.float32)) / np.asarray(self.scale, np.float32)
        if self.reverse_channels:
            prepared = prepared[..., ::-1]
        if self.channels_first and prepared.ndim > 2:
            prepared = np.moveaxis(prepared, -1, 1)
        return np.ascontiguousarray(prepared, dtype=self.dtype)

    @property
    def _rescales(self) -> bool:
        return (self.offset, self.scale) != (0.0, 1.0)

    @property
    def words(self) -> str:
        """The preprocessing as text."""
        value = f"(value - {_number(self.offset)}) / {_number(self.scale)}" if self._rescales else "raw values"
        order = ", channels reversed" if self.reverse_channels else ""
        place = ", channels first" if self.channels_first else ""
        return f"{value} as {self.dtype}{order}{place}"


def _number(number: float | tuple[float, ...]) -> str:
    return f"{number:g}" if isinstance(number, float) else f"({', '.join(f'{n:g}' for n in number)})"
