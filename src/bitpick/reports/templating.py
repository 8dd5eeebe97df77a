"""Render the templates of the reports."""

from __future__ import annotations

import functools
from typing import Any

from bitpick.library_errors import visible
from bitpick.reports import conversions, measured, prepared, speeds, whole, words
from bitpick.schema import missing


def render(name: str, **variables: Any) -> str:
    """Render a template.

    Args:
        name: of the template. In an `.html.` template, text is escaped, invisible characters are made visible, and None
            is empty. In Markdown, text that could contain markup goes through the filter `cell`, so that it looks as it
            is; whatever else is text has no tags and links of its own, see `words.unmarked`.
        variables: the template's variables, besides the modules that all templates use.
    """
    template = _environment(".html." in name).get_template(name)
    modules = {"words": words, "speeds": speeds, "whole": whole, "without": missing, "told": measured}
    modules |= {"conversions": conversions, "prepared": prepared}
    return str(template.render(**modules, **variables))


@functools.cache
def _environment(html: bool) -> Any:
    import jinja2
    from markupsafe import Markup

    def finalize(value: Any) -> Any:
        """Make None empty, and invisible characters of text visible."""
        if value is None:
            return ""
        return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    def unmarked(value: Any) -> Any:
        return words.unmarked(value) if isinstance(value, str) else value

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bitpick.reports"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=finalize if html else unmarked,
        autoescape=html,  # noqa: S701 - in Markdown, `unmarked` and the filter `cell` escape
    )
    environment.filters.update(cell=words.cell, standing=words.standing)
    return environment
