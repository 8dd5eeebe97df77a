"""A run as a notebook shows it: the answer, the rows, where the report is. No script, no style of its own but lines."""

from __future__ import annotations

from pathlib import Path

from bitpick.reports import measured, templating, words
from bitpick.schema.run import Run

_SHOWN = 4  # reasons; the report has all of them


def render(run: Run, folder: Path) -> str:
    """The run as a fragment of HTML.

    Args:
        run: the run.
        folder: its directory, as the reader can find it.
    """
    return templating.render(
        "notebook.html.jinja",
        run=run,
        rows=words.ordered(run),
        measure=measured.measure(run.rows),
        folder=folder.as_posix(),
        shown=_SHOWN,
    )
