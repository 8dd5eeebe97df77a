"""The pictures of a report in the README: its first screen, light and dark.

Without an argument the run is one of the bundled model; else it is the run directory that is named.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import bitpick

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SIZE = {"width": 1280, "height": 900}
MOST_BYTES = 300_000


def take(report: Path) -> None:
    """Take both pictures of a report."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("there is no Chromium on the PATH")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme, name in (("light", "report.png"), ("dark", "report-dark.png")):
            page = browser.new_page(viewport=SIZE, color_scheme=scheme, device_scale_factor=2)
            page.goto(report.absolute().as_uri())
            page.wait_for_selector(".plot svg")
            page.screenshot(path=IMAGES / name)
            _reduce(IMAGES / name)
        browser.close()


def _reduce(path: Path) -> None:
    """Keep 128 colours, which is all that text and a chart need."""
    Image.open(path).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    if path.stat().st_size > MOST_BYTES:
        sys.exit(f"{path} has more than {MOST_BYTES / 1000:.0f} kB")


def main() -> None:
    """Take the pictures of the run that is named, or of one made for it."""
    if len(sys.argv) > 1:
        bitpick.report(sys.argv[1])
        take(Path(sys.argv[1]) / "report.html")
        return
    with tempfile.TemporaryDirectory() as folder:
        bitpick.compare(out=Path(folder) / "run")
        take(Path(folder) / "run" / "report.html")


if __name__ == "__main__":
    main()
