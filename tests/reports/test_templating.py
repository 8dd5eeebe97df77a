from __future__ import annotations

import jinja2
import pytest

from bitpick.reports import templating

TEMPLATES = {
    "a.html.jinja": "<p title='{{ text }}'>{{ text }}{{ words.percent(0.5) }}</p>",
    "a.md.jinja": "{% if text %}\n  {{ text }} {{ text | cell }}\n{% endif %}\n",
}


@pytest.fixture(autouse=True)
def templates(monkeypatch):
    """These, instead of those of the reports."""
    monkeypatch.setattr(jinja2, "PackageLoader", lambda _: jinja2.DictLoader(TEMPLATES))
    templating._environment.cache_clear()
    yield
    templating._environment.cache_clear()


def test_in_html_text_is_text_and_what_is_not_there_is_nothing():
    assert templating.render("a.html.jinja", text="<b>'&") == (
        "<p title='&lt;b&gt;&#39;&amp;'>&lt;b&gt;&#39;&amp;50.00%</p>"
    )
    assert templating.render("a.html.jinja", text=None) == "<p title=''>50.00%</p>"
    assert "\u202e" not in templating.render("a.html.jinja", text="\u202etxt.exe")


def test_in_markdown_text_is_left_as_it_is_but_for_cells_and_tags():
    assert templating.render("a.md.jinja", text="< a|b>") == "  < a|b> \\< a\\|b\\>\n"
    assert templating.render("a.md.jinja", text="<a|b>") == "  &lt;a|b> \\<a\\|b\\>\n"


def test_what_a_template_was_not_given_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="text"):
        templating.render("a.html.jinja")
