from __future__ import annotations

from bitpick.schema.missing import left_out, missing
from tests.records import MISSING_ROWS


def test_a_reason_is_told_once_the_commonest_first():
    told = missing(MISSING_ROWS)
    assert [(each.reason, [row.id for row in each.rows]) for each in told] == [
        ("no kernel", ["a:s8weights", "b:s8weights"]),
        ("out of memory", ["a:s8dynamic"]),
    ]
    assert [each.subject for each in told] == ["2 rows are unsupported", "a:s8dynamic failed"]
    assert told[0].engines == ["a", "b"]
    assert missing(MISSING_ROWS[1:2])[0].subject == "a:s8weights is unsupported"


def test_engines_that_can_make_nothing_take_one_line():
    assert left_out(MISSING_ROWS) == "No builds of c (no way there), d (not installed)."
    assert left_out(MISSING_ROWS[:4]) == ""
