"""Write samples that are images to image files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def save(sample: NDArray[np.generic], path: Path) -> bool:
    """Write a sample as a PNG file.

    Args:
        sample: one sample as the data set stores it: an image of shape (height, width, 1 or 3) or (height, width), of
            dtype uint8, or floats from 0 to 1 or from 0 to 255.
        path: the file; its folder is created if needed.

    Returns:
        Whether the sample is such an image, and so was written.
    """
    from PIL import Image

    pixels = np.asarray(sample)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)) or pixels.size == 0:
        return False
    if pixels.dtype != np.uint8:
        if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 255:
            return False
        pixels = np.round(pixels * (255 if pixels.max() <= 1 else 1)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "PNG")
    return True
