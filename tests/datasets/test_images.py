from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from bitpick.datasets import images, npy
from bitpick.datasets.progress import silent
from bitpick.errors import DataError
from bitpick.preprocessing import Decoding

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
SAME = Decoding(height=6, width=8)


def file(image: Image.Image, form: str = "PNG", **options) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM", "TGA"])
def test_formats_without_loss_come_back(form):
    np.testing.assert_array_equal(images.decode(file(Image.fromarray(PIXELS), form), SAME, "a"), PIXELS)


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "GIF"])
def test_formats_with_loss_are_read(form):
    flat = np.full((6, 8, 3), 100, np.uint8)
    found = images.decode(file(Image.fromarray(flat), form), SAME, "a")
    assert abs(found.astype(int) - 100).max() <= 3


def test_a_program_that_draws_is_not_run():
    with pytest.raises(DataError, match="cannot be decoded"):
        images.decode(file(Image.fromarray(PIXELS), "EPS"), SAME, "a.eps")


def test_grey_and_colour_become_what_the_model_takes():
    grey = Image.fromarray(PIXELS).convert("L")
    assert images.decode(file(grey), SAME, "a").shape == (6, 8, 3)
    found = images.decode(file(Image.fromarray(PIXELS)), SAME.model_copy(update={"channels": 1}), "a")
    np.testing.assert_array_equal(found[..., 0], np.asarray(grey))


def test_transparency_is_left_off():
    image = Image.fromarray(PIXELS).convert("P")
    found = images.decode(file(image, transparency=bytes([0, 255])), SAME, "a")
    np.testing.assert_array_equal(found, np.asarray(image.convert("RGB")))


def test_sixteen_bits_are_not_cut_off_in_silence():
    deep = Image.fromarray(np.full((6, 8), 40_000, np.uint16))
    with pytest.raises(DataError, match="more than 8 bits a channel"):
        images.decode(file(deep), SAME, "a.png")


def halves(height: int, width: int) -> io.BytesIO:
    """Black on the left, white on the right."""
    pixels = np.zeros((height, width), np.uint8)
    pixels[:, width // 2 :] = 255
    return file(Image.fromarray(pixels))


def test_the_middle_is_cropped():
    how = Decoding(height=4, width=4, channels=1, fit="crop", interpolation="nearest")
    found = images.decode(halves(8, 40), how, "a")[..., 0]
    np.testing.assert_array_equal(found, [[0, 0, 255, 255]] * 4)


def test_the_shorter_side_is_resized_before_a_crop():
    how = Decoding(height=4, width=4, channels=1, fit="crop", resize=8, interpolation="nearest")
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    found = images.decode(file(Image.fromarray(pixels)), how, "a")[..., 0]
    np.testing.assert_array_equal(found, pixels[2:6, 2:6])


def test_what_is_padded_is_zero_and_nothing_is_lost():
    how = Decoding(height=8, width=8, channels=1, fit="pad", interpolation="nearest")
    found = images.decode(file(Image.fromarray(np.full((4, 8), 9, np.uint8))), how, "a")[..., 0]
    np.testing.assert_array_equal(found, [[0] * 8] * 2 + [[9] * 8] * 4 + [[0] * 8] * 2)


@pytest.mark.parametrize("cut", [0, 10, 40, -20])
def test_a_damaged_file_is_named(cut):
    content = file(Image.fromarray(PIXELS), "JPEG").getvalue()
    with pytest.raises(DataError) as error:
        images.decode(io.BytesIO(content[:cut]), SAME, "cat/1.jpg")
    assert "the image cat/1.jpg cannot be decoded" in error.value.what
    assert "--skip-damaged" in error.value.fix


def test_pictures_are_written_in_order_and_damaged_ones_left_out_where_asked(tmp_path):
    files = []
    for number in range(300):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((6, 8, 3), number % 256, np.uint8)).save(path)
        files.append((str(path), path))
    files[7][1].write_bytes(b"no picture")
    with npy.Writer(tmp_path / "a.npy") as writer:
        skipped = images.write(files, SAME, writer, silent, skip_damaged=True)
    assert list(skipped) == [7]
    found = np.load(tmp_path / "a.npy")
    np.testing.assert_array_equal(found[:, 0, 0, 0], np.delete(np.arange(300) % 256, 7))
    with npy.Writer(tmp_path / "b.npy") as writer, pytest.raises(DataError, match=r"7\.png"):
        images.write(files, SAME, writer, silent)
