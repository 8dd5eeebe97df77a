"""report.md: what a team can file as its quantization analysis."""

from __future__ import annotations

import re

from bitpick.reports import templating
from bitpick.schema.run import Run


def render(run: Run) -> str:
    """The report of a run, as Markdown."""
    return re.sub(r"\n{3,}", "\n\n", templating.render("report.md.jinja", run=run))
