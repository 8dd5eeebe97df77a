"""A run that failed: every report begins with the reason, and speaks of nothing that was not measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitpick.reports import html, markdown, notebook, terminal
from bitpick.schema.failure import Failure
from tests.example_runs import small_run
from tests.records import MISSING_ROWS, changed
from tests.reports.rendering import printed

ERROR = Failure(
    kind="RunError",
    what="no quantized row is ok\n  2 of 3 (a, b): no <kernel>\n  1 of 3 (a): out of memory",
    expected="at least one",
    fix="try more recipes with --preset full",
    logs="logs",
)
NEVER_MEASURED = ("accuracy", "accuracies", "points", "margin", "good enough", "Good enough", "No answer yet", "drops")


def failed(**fields):
    run = small_run(state="failed", error=ERROR, recommendation=None)
    return changed(run, **{"rows": ()} | fields)


def page(found) -> str:
    """The page without its style, scripts and licences."""
    text = html.render(found, Path("run"))
    return text[text.index('<main id="main">') : text.index("</main>")]


RENDERED = {"markdown": markdown.render, "html": page, "notebook": lambda found: notebook.render(found, Path("run"))}


@pytest.mark.parametrize("way", RENDERED)
def test_the_reason_comes_first(way):
    text = RENDERED[way](failed())
    assert "No quantized row is ok" in text[:300]
    if way != "notebook":
        for told in ("2 of 3 (a, b): no ", "1 of 3 (a): out of memory", "At least one", "Try more recipes", "logs/"):
            assert told in text
        assert text.index("Try more recipes") < text.index("What was asked for")


@pytest.mark.parametrize("rows", [(), MISSING_ROWS[:3]], ids=["no rows", "no row that is ok"])
@pytest.mark.parametrize("way", ["markdown", "html"])
def test_nothing_is_said_of_what_was_not_measured(way, rows):
    text = RENDERED[way](failed(rows=rows))
    assert [word for word in NEVER_MEASURED if word in text] == []


@pytest.mark.parametrize("way", [*RENDERED, "terminal"])
def test_a_reason_that_rows_share_is_told_once(way):
    found = failed(rows=MISSING_ROWS, error=None)
    text = RENDERED[way](found) if way in RENDERED else printed(terminal.summary(found, "run"))
    assert text.count("no kernel") == text.count("out of memory") == 1
    assert text.count("no way there") == 1  # two rows that are out of reach, in one line with another engine's
    assert "No builds of c (no way there), d (not installed)." in text.replace("\\", "")
    assert "c:s8dynamic" not in text


def test_hostile_reasons_are_text():
    rows = (MISSING_ROWS[0].model_copy(update={"reason": "<script>alert(1)</script>"}),)
    error = ERROR.model_copy(update={"what": "<script>alert(1)</script>", "logs": "javascript:alert(1)"})
    text = page(failed(rows=rows, error=error))
    assert "<script>alert" not in text
    assert 'href="javascript' not in text


def test_what_was_measured_until_then_is_shown():
    text = markdown.render(small_run(state="failed", error=ERROR, recommendation=None))
    assert "The results below were measured before it failed." in text
    assert "| e | float32 | 90.00% |" in text


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_the_page_fits_and_links_to_the_reasons(tmp_path, opened, width, scheme):
    found = small_run(state="failed", error=ERROR, recommendation=None)
    (tmp_path / "report.html").write_text(html.render(found, tmp_path), encoding="utf-8")
    shown_page, seen = opened(tmp_path / "report.html", width, color_scheme=scheme)
    assert shown_page.locator("h1").inner_text() == "No quantized row is ok."
    assert shown_page.evaluate("document.documentElement.scrollWidth") <= width
    shown_page.get_by_role("link", name="why").first.click()
    assert "no | such <kernel>" in shown_page.locator("section:has(#missing)").inner_text()
    assert seen.errors == []
