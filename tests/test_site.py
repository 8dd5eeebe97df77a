"""The site: built strictly, whole, and without a network."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tests.pages import DOCS, PAGES, ROOT

CONFIG = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built from a copy of the docs with warnings as errors."""
    place = tmp_path_factory.mktemp("site")
    shutil.copyfile(ROOT / "zensical.toml", place / "zensical.toml")
    shutil.copytree(DOCS, place / "docs")
    done = build(place)
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "site"


def build(place: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("zensical", reason="the site is built where the development tools are")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120)


def pages_of(nav: object) -> list[str]:
    """The pages of a navigation, in their order."""
    if isinstance(nav, str):
        return [nav]
    return [page for each in (nav.values() if isinstance(nav, dict) else nav) for page in pages_of(each)]


def test_every_page_is_in_the_navigation_once():
    assert sorted(pages_of(CONFIG["nav"])) == sorted(
        page.removeprefix("docs/") for page in PAGES if page != "README.md"
    )


def test_a_broken_link_fails_the_build(tmp_path):
    shutil.copyfile(ROOT / "zensical.toml", tmp_path / "zensical.toml")
    shutil.copytree(DOCS, tmp_path / "docs")
    page = tmp_path / "docs" / "tutorial.md"
    page.write_text(page.read_text(encoding="utf-8") + "\n[nowhere](nowhere.md)\n", encoding="utf-8")
    done = build(tmp_path)
    assert done.returncode != 0
    assert "nowhere" in re.sub(r"\x1b\[[0-9;]*m", "", done.stderr)


def test_no_page_asks_another_host_for_anything(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=[\"']?(?:https?:)?//", text), page


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_reader_finds_a_page_by_searching(site, browser, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, outside, errors = context.new_page(), [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    known = (site.as_uri(), "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(known) else outside.append(request.url))
    page.goto((site / "index.html").as_uri())
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 300) == (scheme == "dark")
    assert page.locator("article img:visible").count() == 1
    page.keyboard.press("Control+k")
    page.keyboard.type("Satterthwaite", delay=20)
    end = time.monotonic() + 30
    while page.url.endswith("/index.html") and time.monotonic() < end:  # its index is read in the background
        page.wait_for_timeout(200)
        page.keyboard.press("Enter")
    page.wait_for_url("**/reference/statistics.html*")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert outside == []
    assert errors == []
    context.close()
