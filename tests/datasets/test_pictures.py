from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bitpick.datasets.pictures import save


@pytest.mark.parametrize("shape", [(4, 6, 3), (4, 6, 1), (4, 6)])
def test_pixels_are_written_as_they_are(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert save(pixels, tmp_path / "new" / "a.png")
    with Image.open(tmp_path / "new" / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image).reshape(shape), pixels)


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_floats_are_pixels_too(tmp_path, scale):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 3), dtype=np.uint8)
    pixels[0, 0, 0] = 255
    assert save(pixels.astype(np.float32) / 255 * scale, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize(
    "sample",
    [np.zeros(10), np.zeros((3, 3, 5)), np.zeros((0, 3, 3)), np.full((3, 3), np.nan), np.full((3, 3), -1.0)],
    ids=["a vector", "five channels", "no pixels", "not finite", "below 0"],
)
def test_what_is_no_image_is_not_written(tmp_path, sample):
    assert not save(sample, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
