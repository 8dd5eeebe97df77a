"""report.html: one self-contained file that makes no network requests."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bitpick.library_errors import visible
from bitpick.paths import inside
from bitpick.reports import recipes, templating
from bitpick.reports.chart import Chart
from bitpick.reports.charts import charts
from bitpick.schema.run import Run

_SCRIPTS = ("d3.min.js", "plot.umd.min.js", "dataTables.min.js", "report.js")
_LICENSED = ("d3", "plot", "interval-tree-1d", "binary-search-bounds", "isoformat", "dataTables")
_PNG = b"\x89PNG\r\n\x1a\n"


def render(run: Run, folder: Path) -> str:
    """Render the report of a run as HTML.

    Args:
        run: the run.
        folder: its directory, which holds the example images.
    """
    run_charts = charts(run)
    scripts = [_script(name) for name in _SCRIPTS]
    return templating.render(
        "report.html.jinja",
        run=run,
        recipe_words=recipes.in_words,
        charts=run_charts,
        payload=_safe(json.dumps(_drawings(run_charts))),
        image=functools.partial(_image, folder),
        link=lambda path: "./" + quote(path),
        policy=_policy(scripts),
        scripts=scripts,
        style=_asset("report.css"),
        licenses=[(name, _asset(f"{name}.LICENSE.txt")) for name in _LICENSED],
    )


def _drawings(run_charts: Sequence[Chart]) -> list[dict[str, Any]]:
    """Return the data for report.js."""

    def shown(value: Any) -> Any:
        return visible(value) if isinstance(value, str) else value

    return [
        {
            "name": chart.name,
            "title": chart.title,
            "finding": shown(chart.finding),
            "metric": None if chart.metric is None else {k: shown(v) for k, v in asdict(chart.metric).items()},
            "data": [{key: shown(value) for key, value in record.items()} for record in chart.rows],
        }
        for chart in run_charts
    ]


def _safe(text: str) -> Any:
    """Escape JSON so that it cannot end its script element."""
    from markupsafe import Markup

    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)  # noqa: S704 - it no longer contains markup


@functools.cache
def _asset(name: str) -> Any:
    """Read one of this package's own files, which needs no escaping."""
    from markupsafe import Markup

    return Markup(resources.files("bitpick.reports").joinpath("assets", name).read_text(encoding="utf-8"))  # noqa: S704


def _script(name: str) -> Any:
    """Read a script, and escape anything that would end its element."""
    return _asset(name).replace("</script", "<\\/script")


def _policy(scripts: Sequence[str]) -> str:
    """Return a content security policy that allows only these scripts, and no network."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    sources = " ".join(f"'sha256-{digest}'" for digest in digests)
    rules = ["default-src 'none'", f"script-src {sources}", "style-src 'unsafe-inline'", "img-src data:"]
    return "; ".join([*rules, "base-uri 'none'", "form-action 'none'"])


def _image(folder: Path, path: str) -> str:
    """Return a PNG file of the run directory as a data URI; empty if there is no such file."""
    try:
        content = inside(folder, path).read_bytes()
    except (ValueError, OSError):
        return ""
    return "data:image/png;base64," + base64.b64encode(content).decode() if content.startswith(_PNG) else ""
