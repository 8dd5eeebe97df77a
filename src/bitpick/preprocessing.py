"""From stored samples to what a model takes."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Arrays = tuple[NDArray[Any], ...]
"""A batch: one array for each input, or each output, of a model, in the order of the model; each of shape (n, …)."""

Dtype = Literal["float32", "float16", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"]
"""What a model may take."""

_STRICT = ConfigDict(frozen=True, extra="forbid")


class Decoding(BaseModel):
    """How an image file became a stored sample: pixels of shape (height, width, channels), uint8.

    Attributes:
        height: of the stored sample, in pixels.
        width: of it.
        channels: 1, grey, or 3, red, green and blue.
        fit: `stretch` to the size; `crop` what is left over of the middle, once the shorter side fits; `pad` with
            zeros, once the longer side fits.
        resize: length of the shorter side before a crop, where that is not the size itself.
        interpolation: Pillow's word for the filter.
    """

    model_config = _STRICT

    height: int
    width: int
    channels: Literal[1, 3] = 3
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    resize: int | None = None
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"


class Preprocessing(BaseModel):
    """A stored sample becomes `(float32(sample) - offset) / scale`, its channels then put in the model's order.

    Attributes:
        shape: what the numbers of a sample are arranged to before anything else, where they are stored otherwise.
        stored_channels_first: whether what is stored has its channels before the other axes; they are put last.
        offset: taken off each value; or one for each channel, which are the last axis now.
        scale: divides what is left, likewise. The defaults hand the model its raw values.
        reverse_channels: whether the channels come in the opposite order, as blue, green, red.
        channels_first: whether the channels come before the other axes of a sample.
        dtype: what the model takes. Integers (tokens, categories) are handed over as they are.
        decoding: how the stored samples were made from image files; None where they are what the user stored.
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
            Array of `dtype`, of the same shape but for the place of the channels, in C order.
        """
        # Its own: what is stored is mapped, and not to be written to.
        prepared = np.array(batch, dtype=np.float32 if self._moves else self.dtype)
        if self.shape is not None:
            prepared = prepared.reshape(len(prepared), *self.shape)
        if self.stored_channels_first:
            prepared = np.moveaxis(prepared, 1, -1)
        if self._moves:
            prepared = (prepared - np.asarray(self.offset, np.float32)) / np.asarray(self.scale, np.float32)
        if self.reverse_channels:
            prepared = prepared[..., ::-1]
        if self.channels_first and prepared.ndim > 2:
            prepared = np.moveaxis(prepared, -1, 1)
        return np.ascontiguousarray(prepared, dtype=self.dtype)

    @property
    def _moves(self) -> bool:
        return (self.offset, self.scale) != (0.0, 1.0)

    @property
    def words(self) -> str:
        """The preprocessing in words."""
        value = f"(value - {_words(self.offset)}) / {_words(self.scale)}" if self._moves else "raw values"
        order = ", channels reversed" if self.reverse_channels else ""
        place = ", channels first" if self.channels_first else ""
        return f"{value} as {self.dtype}{order}{place}"


def _words(number: float | tuple[float, ...]) -> str:
    return f"{number:g}" if isinstance(number, float) else f"({', '.join(f'{n:g}' for n in number)})"
