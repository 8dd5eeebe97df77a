from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from bitpick.comparison.gate import Check, Rules, gate, junit
from bitpick.errors import RequestError
from bitpick.fingerprint import Coverage
from bitpick.result import Recommendation
from tests.report.test_markdown import run as example

ROW = "e:s8u8-per_channel-minmax"  # 80% of 90%, 400 bytes, class ant 60% of 80%


def run(**fields):
    found = example()
    found.recommendation = Recommendation(id=ROW, because=[])
    found.row(ROW).coverage = Coverage(macs=0.75, weights=1.0)
    return found.model_copy(update=fields)


@pytest.mark.parametrize(
    ("rule", "kept", "broken", "says"),
    [
        ("max_drop", 0.1, 0.05, "loses 10.00 points, of 5.00 points allowed"),
        ("max_size", 400, 399, "has 0.4 kB, of 0.4 kB allowed"),
        ("min_coverage", 0.75, 0.8, "computes 75.0% on integers, of 80.0% asked for"),
        ("max_class_drop", 0.21, 0.1, "loses 20.00 points on ant, of 10.00 points allowed for a class"),
        ("noninferior", False, True, "is not shown to lose less than 0.90 points"),
    ],
)
def test_a_rule_is_kept_or_broken(rule, kept, broken, says):
    assert all(check.passed for check in gate(run(), Rules(**{rule: kept})))
    (check,) = gate(run(), Rules(**{rule: broken}))
    assert (check.row, check.passed, check.text) == (ROW, False, says)


def test_no_rule_asks_that_the_row_was_measured():
    assert gate(run(), Rules()) == [Check(ROW, "measured", True, "measured")]
    (check,) = gate(run(), Rules(), ["e:u8u8-per_tensor-minmax"])
    assert (check.passed, check.text) == (False, "unsupported: no | such <kernel>")


def test_named_rows_are_checked_instead_of_the_recommended_one():
    checks = gate(run(), Rules(max_size=500), ["e:float32", ROW])
    assert [(check.row, check.passed) for check in checks] == [("e:float32", False), (ROW, True)]


def test_a_run_that_recommends_none_fails():
    (check,) = gate(run(recommendation=Recommendation(id=None, because=[])), Rules())
    assert (check.rule, check.passed) == ("recommended", False)


@pytest.mark.parametrize(("before", "passed"), [(0.05, True), (0.039, False), (0.2, True)])
def test_an_earlier_run_must_not_have_been_better_than_chance_explains(before, passed):
    earlier = run()
    row = earlier.row(ROW)
    row.versus_baseline = row.versus_baseline.model_copy(update={"drop": before})
    check, size = gate(run(), Rules(), against=earlier)
    assert (size.rule, size.passed) == ("against_size", True)
    assert (check.rule, check.passed) == ("against", passed)  # its interval begins at 4 points
    earlier.rows.clear()
    assert not gate(run(), Rules(), against=earlier)[0].passed


def test_what_cannot_be_checked_is_refused():
    with pytest.raises(RequestError, match="the run is interrupted"):
        gate(run(state="interrupted"), Rules())
    with pytest.raises(RequestError, match="has no row e:s8u8-per_chanel") as error:
        gate(run(), Rules(), ["e:s8u8-per_chanel-minmax"])
    assert f"did you mean {ROW}?" in str(error.value)


def test_junit_has_a_case_for_each_check_and_text_stays_text():
    checks = [Check("a<b>", "drop", False, 'loses "all" & more'), Check("c", "size", True, "x")]
    suite = ET.fromstring(junit(checks).partition("?>")[2])
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    first, second = suite
    assert (first.get("classname"), first.get("name")) == ("a<b>", "drop")
    assert first[0].get("message") == 'loses "all" & more'
    assert len(second) == 0
