"""The pictures of a report in the README: its first screen, light and dark.

Without an argument the run is one of the bundled model; else it is the run directory that is named. With --smoke one
small picture of a small run is taken, and thrown away.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

import bitpick
from bitpick.api import bundled_model

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SIZE = {"width": 1280, "height": 900}
FILES = {"light": "report.png", "dark": "report-dark.png"}
MOST_BYTES = 300_000


def take(report: Path, images: Path = IMAGES, scale: int = 2, schemes: tuple[str, ...] = tuple(FILES)) -> None:
    """Take a picture of a report in each colour scheme, into a folder, with so many pixels for each of the page's."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("there is no Chromium on the PATH")
    images.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme in schemes:
            path = images / FILES[scheme]
            page = browser.new_page(viewport=SIZE, color_scheme=scheme, device_scale_factor=scale)
            page.goto(report.absolute().as_uri())
            page.wait_for_selector(".plot svg")
            page.screenshot(path=path)
            _reduce(path)
        browser.close()


def _reduce(path: Path) -> None:
    """Keep 128 colours, which is all that text and a chart need."""
    Image.open(path).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    if path.stat().st_size > MOST_BYTES:
        sys.exit(f"{path} has more than {MOST_BYTES / 1000:.0f} kB")


def smoke(folder: Path) -> None:
    """Take one picture of a run with one engine, on random pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (250, 32, 32, 3), dtype=np.uint8)
    np.save(folder / "pixels.npy", pixels)
    options = {"engines": ["onnxruntime"], "preset": "basic", "targets": ["host"], "bench_seconds": 0}
    model = bundled_model().with_suffix(".onnx")
    bitpick.compare(model, folder / "pixels.npy", calibration_size=50, out=folder / "run", **options)
    take(folder / "run" / "report.html", folder, 1, ("light",))


def main() -> None:
    """Take the pictures of the run that is named, or of one made for it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path, help="a run directory")
    parser.add_argument("--smoke", action="store_true", help="one small picture of a small run, which is not kept")
    arguments = parser.parse_args()
    if arguments.run is not None:
        bitpick.report(arguments.run)
        take(arguments.run / "report.html")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.smoke:
            smoke(folder)
            return
        bitpick.compare(out=folder / "run")
        take(folder / "run" / "report.html")


if __name__ == "__main__":
    main()
