from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from bitpick.errors import RequestError
from bitpick.schema.evidence import Metric
from bitpick.schema.fingerprint import Coverage
from bitpick.schema.run import Recommendation
from bitpick.schema.speed import Latency
from bitpick.selection.gate import Check, Rules, gate, junit
from tests.example_runs import SMALL as ROW
from tests.example_runs import small_run
from tests.records import with_row


def changed(found, **fields):
    """The run with other values in some fields of the row: 80% of 90%, 400 bytes, 60% of 80% in the class ant."""
    return with_row(found, ROW, **fields)


def run(**fields):
    found = changed(small_run(), coverage=Coverage(macs=0.75, weights=1.0))
    return found.model_copy(update={"recommendation": Recommendation(id=ROW, because=[]), **fields})


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


def test_a_coverage_that_nobody_knows_is_not_kept():
    """Neither one that was not read off, nor one that leaves out what could not be counted."""
    found = changed(run(), coverage=None)
    assert not any(check.passed for check in gate(found, Rules(min_coverage=0)))
    found = changed(run(), coverage=Coverage(macs=1.0, weights=1.0, uncounted=["Trees t"]))
    (check,) = gate(found, Rules(min_coverage=0.5))
    assert not check.passed
    assert check.text.endswith("that leaves out Trees t, whose work could not be counted")


def test_no_rule_asks_that_the_row_was_measured():
    assert gate(run(), Rules()) == [Check(ROW, "measured", True, "was measured; no rule was given")]
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
    versus = run().row(ROW).versus_baseline.model_copy(update={"drop": before})
    earlier = changed(run(), versus_baseline=versus)
    check, size = gate(run(), Rules(), against=earlier)
    assert (size.rule, size.passed) == ("against_size", True)
    assert (check.rule, check.passed) == ("against", passed)  # its interval begins at 4 points
    assert not gate(run(), Rules(), against=run(rows=()))[0].passed


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


def timed(found, interval=(0.5, 0.6), reference="o:float32"):
    latency = Latency(
        p50=1e-4, p90=1e-4, reference=reference, ratio_reference=0.55, ratio_reference_interval=interval, control=1,
        control_interval=(0.99, 1.01), clock="cpu", threads=1, processes=5, pairs=100,
    )  # fmt: skip
    return changed(found, latency=latency)


@pytest.mark.parametrize(("allowed", "passed"), [(0.7, True), (0.6, True), (0.58, False), (0.4, False)])
def test_a_latency_ratio_is_within_its_limit_where_that_is_shown(allowed, passed):
    (check,) = gate(timed(run()), Rules(max_latency_ratio=allowed))
    assert (check.rule, check.passed) == ("latency", passed)
    assert check.text == f"takes 0.55 (0.50 to 0.60) times as long as o:float32, of {allowed:g} allowed (CPU time)"


@pytest.mark.parametrize(
    ("found", "says"), [(run(), "has no time that was measured"), (timed(run(), None), "could not resolve")]
)
def test_a_time_that_is_not_known_is_within_no_limit(found, says):
    (check,) = gate(found, Rules(max_latency_ratio=100))
    assert not check.passed
    assert says in check.text


@pytest.mark.parametrize(
    ("now", "passed"),
    [
        (timed(run(), (0.55, 0.65)), True),
        (timed(run(), (0.61, 0.65)), False),
        (timed(run(), None), False),
        (timed(run(), (0.5, 0.6), reference="p:float32"), False),
        (run(), False),
    ],
    ids=["alike", "slower", "not known", "another reference", "not timed"],
)
def test_an_earlier_run_must_not_have_been_faster(now, passed):
    checks = {check.rule: check for check in gate(now, Rules(), against=timed(run()))}
    assert checks["against_latency"].passed == passed


def test_a_row_that_grew_since_the_earlier_run_fails():
    grown = changed(run(), size_bytes=405)
    assert [check.passed for check in gate(grown, Rules(), against=run())] == [True, False]


def test_an_earlier_run_that_says_nothing_of_this_one_is_refused():
    with pytest.raises(RequestError, match="the earlier run is interrupted"):
        gate(run(), Rules(), against=run(state="interrupted"))
    data = run().data
    others = data.evaluation.model_copy(update={"sha256": "another"})
    other = run(data=data.model_copy(update={"evaluation": others}))
    with pytest.raises(RequestError, match="on other samples"):
        gate(run(), Rules(), against=other)


def test_classes_of_a_target_are_not_compared_with_those_of_all_samples():
    found = changed(run(), target="x86-avx2")
    (check,) = gate(found, Rules(max_class_drop=0.5))
    assert not check.passed
    assert "on other samples" in check.text


def of_errors():
    """The run, judged by an error of 2 mm, which the row raises by 0.1."""
    metric = Metric(name="mae", unit="mm", higher_is_better=False, value=2.1)
    rows = (row.model_copy(update={"metric": row.metric and metric}) for row in changed(run(), accuracy=None).rows)
    return run(rows=tuple(rows))


def test_an_error_may_rise_by_so_many_percent_of_the_float32s():
    assert gate(of_errors(), Rules(max_drop=0.051))[0].passed
    (check,) = gate(of_errors(), Rules(max_drop=0.049))
    assert (check.passed, check.text) == (False, "loses 0.100 mm, of 0.098 mm allowed")
    (check,) = gate(of_errors(), Rules(max_class_drop=1))
    assert (check.passed, check.text) == (False, "predicts no classes that labels name")


def test_an_earlier_run_that_was_judged_otherwise_says_nothing():
    with pytest.raises(RequestError, match="the earlier run was judged by accuracy"):
        gate(of_errors(), Rules(), against=run())
