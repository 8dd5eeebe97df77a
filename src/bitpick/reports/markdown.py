"""report.md: what a team can file as its quantization analysis."""

from __future__ import annotations

import functools
from typing import Any

from bitpick.reports import measured, whole, words
from bitpick.result import Run


def render(run: Run) -> str:
    """The report of a run, as Markdown."""
    return str(_environment().get_template("report.md.jinja").render(run=run, words=words, whole=whole, told=measured))


@functools.cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bitpick.reports"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown: what could be markup goes through the filter `cell`
    )
    environment.filters["cell"] = words.cell
    return environment
