"""report.html in a real browser."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

from bitpick.library_errors import visible
from bitpick.reports import html
from tests.example_runs import FLAGGED, OWN, PICK, ROWS, SLOW, UNSHOWN, full_run, small_run
from tests.records import changed

ROOT = Path(__file__).parents[2]
CHARTS = {"size", "latency", "drops", "classes", "draws", "layers"}
HOSTILE = (
    "<script>alert(1)</script>", "</script><img src=x onerror=alert(2)>", "a|b", "\u202egnp.exe", "x" * 10_000,
    "javascript:alert(3)", "<!--", "\"'><svg onload=alert(4)>", "{{ 7 * 7 }}", "two\nlines",
)  # fmt: skip


def hostile(name: str) -> str:
    """A name that tries to be more than a name; each stays another one. The id of a build has no slash."""
    attempt = HOSTILE[sum(map(ord, name)) % len(HOSTILE)]
    return (attempt.replace("/", "\\") if ":" in name else attempt) + name


def harmless(name: str) -> str:
    """A name as long as the hostile one, so that charts have as much room beside it."""
    return "n" * (len(visible(hostile(name))) - len(name)) + name


def written(folder: Path, run) -> Path:
    path = folder / "report.html"
    path.write_text(html.render(run, folder), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    return written(folder, full_run(folder))


def builds(page) -> list[str]:
    """The ids in the big table, as they are seen."""
    return page.locator("#rows tbody th code").all_inner_texts()


# ---- without a browser ----


def test_the_file_is_whole_and_asks_for_nothing(report):
    text = report.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "default-src 'none'" in unescape(text)
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
    assert len(text) < 900_000


def test_the_answer_comes_first(report):
    text = report.read_text(encoding="utf-8")
    assert f"Ship <code>{PICK}</code>" in text
    assert (
        "It gets 89.50% right, a drop of 0.40 points on 500 samples that did not choose it (95% interval -0.10 to "
        "0.90), has 100.0 kB (67% smaller), and takes 0.45 times as long as alpha:float32 "
        "(0.43 to 0.48; under 1 is faster)." in text
    )


def test_cross_fit_and_draws_are_told(report, opened):
    page, _ = opened(report)
    assert "Selection: cross-fit." in page.locator(".answer").inner_text()
    halves = page.get_by_role("region", name="What each half of the samples chose").locator("tbody tr")
    assert halves.nth(0).inner_text().split("\n")[1:] == [f"{PICK}\t0.40", "-0.10 to 0.90", "\tconfirmed", "p = 0.03"]
    assert "none" in halves.nth(1).inner_text()
    assert f"Draw 3 of {PICK} is missing: there is no kernel Conv d." in page.locator(".method").inner_text()


@pytest.mark.parametrize("state", ["running", "failed", "interrupted"])
def test_a_run_that_did_not_end_well_says_so(state, tmp_path):
    text = html.render(small_run(state=state, recommendation=None, data=None, rows=[]), tmp_path)
    assert f"This run is {state}" in text
    assert "No answer yet" in text


def test_what_was_not_measured_is_left_out(tmp_path):
    text = html.render(small_run(), tmp_path)
    for absent in ("chart-latency", "chart-draws", "chart-layers", "throughput", "memory", "Why slow", "Which layers"):
        assert absent not in text, absent
    assert "No build is recommended" in text


def test_an_image_outside_the_run_directory_is_not_taken_in(tmp_path):
    (tmp_path / "run").mkdir()
    run = full_run(tmp_path / "run")
    (tmp_path / "secret.png").write_bytes((tmp_path / "run" / "examples" / "0.png").read_bytes())
    (tmp_path / "run" / "no.png").write_text("text")
    examples = [
        changed(example, image=image)
        for example, image in zip(run.examples, ("../secret.png", "absent.png", "no.png"), strict=True)
    ]
    text = html.render(changed(run, examples=examples, diagnosis=None), tmp_path / "run")
    assert "data:image" not in text
    assert text.count("the image is not in the run directory") == 3


def test_the_libraries_are_the_pinned_ones():
    subprocess.run([sys.executable, ROOT / "scripts" / "vendor.py", "--check"], check=True)


# ---- in a browser ----


def test_it_opens_without_a_request_or_an_error(report, opened):
    page, seen = opened(report)
    assert seen.errors == []
    assert seen.outside == []
    assert page.title() == "model.onnx: which quantized build to ship"


def test_every_chart_has_marks_and_is_told_in_words(report, opened):
    page, _ = opened(report)
    names = page.locator("figure[data-chart]").evaluate_all("all => all.map(each => each.dataset.chart)")
    assert set(names) == CHARTS
    for name in names:
        chart = page.locator(f"figure[data-chart={name}]")
        assert chart.locator(".plot svg :is(circle, path, rect, line)").count() >= 3, name
        assert chart.locator(".plot svg[aria-label][aria-description]").count() == 1, name
        assert len(chart.locator("figcaption .finding").inner_text()) > 20, name
        assert chart.locator("details table tbody tr").count() >= 2, name


def test_images_are_there(report, opened):
    page, _ = opened(report)
    assert page.locator(".examples img").count() == 4
    assert page.evaluate("[...document.images].every(image => image.naturalWidth === 8 && image.alt)")


def test_sorting_by_click_and_by_key(report, opened):
    page, _ = opened(report)
    first = builds(page)
    header = page.locator("#rows thead th", has_text="accuracy").locator(".dt-column-order")
    header.click()
    page.locator("#rows thead th[aria-sort=ascending]").wait_for()
    cells = page.locator("#rows tbody td:nth-child(2)").all_inner_texts()
    up = [float(text.split("%")[0]) for text in cells if "%" in text]
    assert up == sorted(up)
    header.press("Enter")
    page.locator("#rows thead th[aria-sort=descending]").wait_for()
    assert next(row for row in builds(page) if row in ROWS) == "beta:float32"
    assert sorted(builds(page)) == sorted(first)


def test_numbers_sort_as_numbers(report, opened):
    page, _ = opened(report)
    page.locator("#rows thead th", has_text="time / reference").locator(".dt-column-order").click()
    page.locator("#rows thead th[aria-sort=ascending]").wait_for()
    order = [row for row in builds(page) if row in (PICK, UNSHOWN, FLAGGED, "beta:float32", OWN)]
    assert order == [UNSHOWN, PICK, FLAGGED, OWN, "beta:float32"]


def test_filters(report, opened):
    page, _ = opened(report)
    page.get_by_label("Filter").press_sequentially("dynamic")
    assert builds(page) == [SLOW]
    page.get_by_label("Filter").fill("")
    page.get_by_label("Engine").select_option("beta")
    assert {row.split(":")[0] for row in builds(page)} == {"beta"}
    page.get_by_label("Standing").select_option("failed")
    assert builds(page) == ["beta:s8weights"]
    page.get_by_label("Engine").focus()
    page.keyboard.press("Home")
    assert set(builds(page)) == {"beta:s8weights"}
    page.get_by_label("Standing").select_option("")
    assert len(builds(page)) == 9


def test_everything_can_be_reached_and_worked_by_keyboard(report, opened):
    page, _ = opened(report)
    page.evaluate("""() => document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]')
        .forEach((each, place) => { if (each.checkVisibility()) each.dataset.stop = place; })""")
    stops = set(page.locator("[data-stop]").evaluate_all("all => all.map(each => each.dataset.stop)"))
    reached = set()
    for _ in range(2 * len(stops)):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.dataset.stop"))
    assert stops - reached == set()
    summary = page.locator("figure[data-chart=drops] summary")
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("figure[data-chart=drops] details[open] table").is_visible()
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#theme").press("Enter")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_nothing_serious(report, opened, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    page, _ = opened(report, width=width, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    found = Axe().run(page).response["violations"]
    serious = {v["id"]: [n["html"][:200] for n in v["nodes"]] for v in found if v["impact"] in ("serious", "critical")}
    assert serious == {}


@pytest.mark.parametrize("names", [str, hostile], ids=["usual", "hostile"])
def test_a_phone_scrolls_no_page_sideways(tmp_path, opened, names):
    page, _ = opened(written(tmp_path, full_run(tmp_path, names)), width=360)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_names_are_data(tmp_path, opened):
    """The same run under hostile names has the same elements, and runs nothing."""
    count = "() => document.querySelectorAll('*').length"
    usual, _ = opened(written(tmp_path, full_run(tmp_path, harmless)))
    before = usual.evaluate(count)
    page, seen = opened(written(tmp_path, full_run(tmp_path, hostile)))
    assert seen.errors == []
    assert seen.dialogs == []
    assert seen.outside == []
    assert page.evaluate(count) == before
    assert page.locator("img").count() == 4
    assert page.evaluate("[...document.links].every(a => !a.href.startsWith('javascript'))")
    text = page.locator("body").inner_text()
    assert "\u202e" not in text
    assert "\\u202egnp.exe" in text
    assert "{{ 7 * 7 }}" in text


def test_the_csv_has_the_numbers(report, opened, tmp_path):
    page, _ = opened(report)
    page.locator("figure[data-chart=latency] summary").click()
    with page.expect_download() as download:
        page.locator("figure[data-chart=latency] a[download]").click()
    download.value.save_as(tmp_path / "latency.csv")
    assert download.value.suggested_filename == "latency.csv"
    lines = (tmp_path / "latency.csv").read_text(encoding="utf-8").splitlines()
    rows = {row["build"]: row for row in csv.DictReader(lines)}
    assert set(rows) == set(ROWS)
    assert float(rows[PICK]["ratio"]) == 0.45
    assert (float(rows[PICK]["low"]), float(rows[PICK]["high"])) == (0.43, 0.48)
    assert float(rows[OWN]["ratio"]) == 1
    assert rows[SLOW]["resolvable"] == "False"


def test_paper_shows_every_row_and_what_is_folded_away(report, opened):
    page, _ = opened(report, width=1060)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("#rows tbody tr").count() == 9
    assert all(row.is_visible() for row in page.locator("#rows tbody tr").all())
    assert page.get_by_text("avx512_vnni").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 1060
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")


def test_without_javascript_the_facts_are_there(report, opened):
    page, _ = opened(report, java_script_enabled=False)
    assert page.locator("#rows tbody tr").count() == 9
    assert page.get_by_role("heading", level=1).inner_text() == f"Ship {PICK}"


@pytest.mark.parametrize("state", ["complete", "interrupted", "running"])
def test_a_run_that_has_little_opens_too(tmp_path, opened, state):
    page, seen = opened(written(tmp_path, small_run(state=state)))
    assert seen.errors == []
    assert page.locator("#rows tbody tr").count() == 3
    page, seen = opened(written(tmp_path, small_run(state=state, rows=[], data=None, recommendation=None)))
    assert seen.errors == []
