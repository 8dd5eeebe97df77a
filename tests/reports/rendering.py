"""What people see of a report."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import RenderableType

from bitpick.reports import html, markdown, notebook, terminal
from bitpick.reports.consoles import SafeConsole
from bitpick.schema.run import Run


def printed(renderable: RenderableType, width: int = 140) -> str:
    """The text that a terminal of this width shows."""
    console = SafeConsole(file=io.StringIO(), width=width, highlight=False)
    console.print(renderable)
    return console.file.getvalue()


def reports(run: Run, folder: Path) -> dict[str, str]:
    """The text of each report of a run; of report.html what is visible, without its scripts and styles."""
    page = re.sub(r"<(script|style|pre)[^>]*>.*?</\1>", "", html.render(run, folder), flags=re.DOTALL)
    return {
        "terminal": printed(terminal.summary(run, "x"), width=220),
        "markdown": markdown.render(run),
        "html": page,
        "notebook": notebook.render(run, folder),
    }
