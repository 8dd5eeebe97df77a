"""A run as a notebook shows it: the answer, the rows, where the report is. No script, no style of its own but lines."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from bitpick.reports import measured, whole, words
from bitpick.result import Run

_SHOWN = 4  # reasons; the report has all of them


def render(run: Run, folder: Path) -> str:
    """The run as a fragment of HTML.

    Args:
        run: the run.
        folder: its directory, as the reader can find it.
    """
    given = {"run": run, "rows": words.ordered(run), "measure": measured.measure(run.rows), "folder": folder.as_posix()}
    return str(
        _environment().get_template("notebook.html.jinja").render(**given, words=words, whole=whole, shown=_SHOWN)
    )


@functools.cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bitpick.reports"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        autoescape=True,
    )
    environment.filters["visible"] = words.visible
    return environment
