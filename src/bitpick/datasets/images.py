"""Decode image files to pixels, several at a time."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bitpick.datasets.npy import Writer
from bitpick.datasets.progress import Progress
from bitpick.errors import DataError
from bitpick.preprocessing import Decoding

# Formats that Pillow decodes by itself. Its other formats start external programs, or do not hold photographs.
FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF", "TGA", "QOI")
# Exceptions that a damaged or hostile file can raise while it is decoded.
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
)
_WINDOW = 128  # files per step: enough for all threads, few enough for memory

File = Path | Callable[[], IO[bytes]]
"""An image file, or a function that opens one."""


@cache
def suffixes() -> frozenset[str]:
    """Return the suffixes of image files, in lower case: `.jpg`, `.jpe`, `.jfif`, `.tif`, ….

    They include formats whose library this Pillow was built without: such a file is then refused by name, rather than
    silently left out.
    """
    from PIL import Image

    registered = {suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS}
    return frozenset(registered | {".webp", ".avif", ".jp2", ".mpo"})


def decode(file: Path | IO[bytes], how: Decoding, name: str) -> NDArray[np.uint8]:
    """Decode an image.

    Args:
        file: an image in one of `FORMATS`; if it has several frames, the first is used.
        how: size and channels of the result. Orientation tags are ignored, as training pipelines ignore them.
        name: the image's name in messages.

    Returns:
        Pixels of shape (height, width, channels), uint8.

    Raises:
        DataError: the file is damaged, or is not an image in one of `FORMATS`.
    """
    from PIL import Image

    try:
        with Image.open(file, formats=FORMATS) as opened:
            if opened.mode.startswith(("I", "F")):
                raise DataError(
                    f"the image {name} has more than 8 bits a channel",
                    expected="8 bits a channel",
                    fix="give such pictures as arrays: .npy or .npz",
                )
            image = opened.convert("RGBA") if "transparency" in opened.info else opened
            fitted = _fitted(image.convert("RGB" if how.channels == 3 else "L"), how)
            return np.asarray(fitted).reshape(how.height, how.width, how.channels)
    except (Image.DecompressionBombError, *_DAMAGED) as error:
        message = " ".join(str(error).replace(str(file), "it").split())
        raise DataError(
            f"the image {name} cannot be decoded: {message or type(error).__name__}",
            fix="replace or remove that file, or leave such files out with --skip-damaged",
        ) from error


def _fitted(image: Any, how: Decoding) -> Any:
    """Return an image resized, cropped or padded to the target size."""
    from PIL import Image

    filters = Image.Resampling[how.interpolation.upper()]
    target = (how.width, how.height)
    if how.fit == "stretch":
        return image.resize(target, filters)
    sides = [how.width / image.width, how.height / image.height]
    if how.fit == "pad":
        factor = min(sides)
        inner = image.resize([max(1, round(side * factor)) for side in image.size], filters)
        canvas = Image.new(image.mode, target)
        canvas.paste(inner, ((how.width - inner.width) // 2, (how.height - inner.height) // 2))
        return canvas
    factor = max(sides) if how.resize is None else how.resize / min(image.size)
    inner = image.resize(
        [max(side, round(size * factor)) for side, size in zip(target, image.size, strict=True)], filters
    )
    left, top = (inner.width - how.width) // 2, (inner.height - how.height) // 2
    return inner.crop((left, top, left + how.width, top + how.height))


def write(
    files: Sequence[tuple[str, File]],
    how: Decoding,
    writer: Writer,
    progress: Progress,
    skip_damaged: bool = False,
) -> dict[int, str]:
    """Decode images, each to an array of shape (height, width, channels), uint8, in constant memory.

    Args:
        files: names and files of the images.
        how: size and channels of the result.
        writer: receives the arrays, in order.
        progress: shows the progress of decoding.
        skip_damaged: leave out images that cannot be decoded.

    Returns:
        The places of the images left out, and the reason for each.

    Raises:
        DataError: an image cannot be decoded, and `skip_damaged` is not set.
    """

    def decoded(named_file: tuple[str, File]) -> NDArray[np.uint8] | DataError:
        name, file = named_file
        try:
            if isinstance(file, Path):
                return decode(file, how, name)
            with file() as opened:
                return decode(opened, how, name)
        except DataError as error:
            return error

    skipped: dict[int, str] = {}
    windows = [str(start) for start in range(0, len(files), _WINDOW)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in progress(windows, f"decoding {len(files):,} pictures"):
            batch = []
            for place, pixels in enumerate(threads.map(decoded, files[int(start) : int(start) + _WINDOW]), int(start)):
                if isinstance(pixels, DataError):
                    if not skip_damaged:
                        raise pixels
                    skipped[place] = pixels.what
                else:
                    batch.append(pixels)
            if batch:
                writer.append(np.stack(batch))
    return skipped
