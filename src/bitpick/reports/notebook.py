"""A run in a notebook: the answer, the rows, and where the report is; without scripts, and with hardly any style."""

from __future__ import annotations

from pathlib import Path

from bitpick.reports import measured, templating, words
from bitpick.schema.run import Run

_SHOWN = 4  # the most reasons; the report has all of them


def render(run: Run, folder: Path) -> str:
    """Render the run as a fragment of HTML.

    Args:
        run: the run.
        folder: its directory, as shown to the reader.
    """
    return templating.render(
        "notebook.html.jinja",
        run=run,
        rows=words.ordered(run),
        measure=measured.measure(run.rows),
        folder=folder.as_posix(),
        shown=_SHOWN,
    )
