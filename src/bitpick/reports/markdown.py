"""report.md, the quantization analysis for a team's files."""

from __future__ import annotations

import re

from bitpick.reports import templating
from bitpick.schema.run import Run


def render(run: Run) -> str:
    """Render the report of a run as Markdown."""
    return re.sub(r"\n{3,}", "\n\n", templating.render("report.md.jinja", run=run))
