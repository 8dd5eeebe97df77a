"""The templates of the reports, filled in."""

from __future__ import annotations

import functools
from typing import Any

from bitpick.reports import conversions, measured, speeds, whole, words
from bitpick.schema import missing


def render(name: str, **given: Any) -> str:
    """A template with what is given, and the words that all of them have.

    Args:
        name: of the template. Where it says `.html.`, text is escaped, its unseen characters are seen, and None is
            nothing. In Markdown what could be markup goes through the filter `cell`.
        given: what the template calls by these names.
    """
    template = _environment(".html." in name).get_template(name)
    names = {"words": words, "speeds": speeds, "whole": whole, "without": missing, "told": measured}
    names |= {"conversions": conversions}
    return str(template.render(**names, **given))


@functools.cache
def _environment(html: bool) -> Any:
    import jinja2
    from markupsafe import Markup

    def seen(value: Any) -> Any:
        """What is not there is nothing; text from outside is text, with nothing unseen in it."""
        if value is None:
            return ""
        return words.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bitpick.reports"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=seen if html else None,
        autoescape=html,  # noqa: S701 - Markdown: what could be markup goes through the filter `cell`
    )
    environment.filters.update(cell=words.cell, standing=words.standing)
    return environment
