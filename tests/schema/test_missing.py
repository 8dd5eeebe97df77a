from __future__ import annotations

from bitpick.schema.missing import left_out, missing
from bitpick.schema.run import Row


def row(recipe, status="failed", reason="no kernel", **fields):
    engine = recipe.partition(":")[0]
    return Row(id=recipe, recipe=recipe, engine=engine, kind="quantized", status=status, reason=reason, **fields)


ROWS = [
    row("a:s8dynamic", reason="out of memory"),
    row("a:s8weights", status="unsupported"),
    row("b:s8weights", status="unsupported"),
    row("b:s8dynamic", status="ok", reason=None),
    row("c:s8dynamic", status="unsupported", reason="no way there", out_of_reach=True),
    row("c:s8weights", status="unsupported", reason="no way there", out_of_reach=True),
    row("d:s8weights", status="unsupported", reason="not installed", out_of_reach=True),
]


def test_a_reason_is_told_once_the_commonest_first():
    told = missing(ROWS)
    assert [(each.reason, [row.id for row in each.rows]) for each in told] == [
        ("no kernel", ["a:s8weights", "b:s8weights"]),
        ("out of memory", ["a:s8dynamic"]),
    ]
    assert [each.subject for each in told] == ["2 rows are unsupported", "a:s8dynamic failed"]
    assert told[0].engines == ["a", "b"]
    assert missing(ROWS[1:2])[0].subject == "a:s8weights is unsupported"


def test_engines_that_can_make_nothing_take_one_line():
    assert left_out(ROWS) == "No builds of c (no way there), d (not installed)."
    assert left_out(ROWS[:4]) == ""
