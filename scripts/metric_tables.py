"""Write the tables of docs/metrics.md, which are what the code says: run it after a change of tasks or metrics."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from bitpick.measures.tasks import described

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"


def tasks() -> str:
    """What a model can be for."""
    lines = ["| task | labels | output | judged by | margin |", "|---|---|---|---|---|"]
    for each in described.tasks():
        judged = ", ".join(f"`{name}`" for name in each.metrics)
        lines.append(f"| `{each.kind}` | {each.labels} | {each.output} | {judged} | {each.margin} |")
    return "\n".join(lines)


def metrics() -> str:
    """What builds can be judged by."""
    lines = ["| metric | is | better | drops | source |", "|---|---|---|---|---|"]
    for each in described.metrics():
        better = "higher" if each.measure.higher_is_better else "lower"
        says = each.says.replace("|", "\\|")
        lines.append(f"| `{each.measure.name}` | {says} | {better} | {each.drop} | {each.source} |")
    return "\n".join(lines)


GENERATED: dict[str, Callable[[], str]] = {"tasks": tasks, "metrics": metrics}
"""The tables, by the name that their markers give."""


def main() -> None:
    """Rewrite the page."""
    text = PAGE.read_text(encoding="utf-8")
    for name, made in GENERATED.items():
        marks = rf"(<!-- generated: {name} -->\n\n).*?(\n\n<!-- end -->)"
        before, after = re.split(marks, text, flags=re.DOTALL)[::3]
        text = f"{before}<!-- generated: {name} -->\n\n{made()}\n\n<!-- end -->{after}"
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
