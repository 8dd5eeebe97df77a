from __future__ import annotations

from bitpick.reports import whole
from tests.example_runs import full_run
from tests.records import changed, with_row


def test_findings_are_told_once_with_their_rows(tmp_path):
    found = whole.findings(full_run(tmp_path))
    assert [finding.about for finding, _ in found] == ["slow", "big"]
    assert [len(rows) for _, rows in found] == [4, 4]


def test_the_answer_leaves_out_what_was_not_measured(tmp_path):
    run = full_run(tmp_path)
    pick = run.row(run.recommendation.id)
    run = with_row(run, pick.id, latency=changed(pick.latency, ratio_reference_interval=(0.2, 1.1)))
    assert whole.answer(run).endswith(
        "takes 0.45 times as long as alpha:float32 (0.20 to 1.10; under 1 is faster, not resolvable here)."
    )
    run = changed(run, recommendation=changed(run.recommendation, folds=None))
    assert "a drop of 0.50 points beside its own float32 (95% interval 0.10 to 0.90, shown" in whole.answer(run)
    run = with_row(run, pick.id, latency=None, versus_baseline=None, size_bytes=None)
    assert whole.answer(run) == "It gets 89.50% right."
    run = changed(run, recommendation=changed(run.recommendation, id=None))
    assert whole.answer(run) == ""


def test_limits(tmp_path):
    run = full_run(tmp_path)
    assert whole.limits(run) == "a drop of at most 2.00 points, at most 500.0 kB, at most 1.5 of the reference's time"
    unlimited = changed(run.request, max_drop=None, max_size=None, max_latency_ratio=None)
    assert whole.limits(changed(run, request=unlimited)) == ""
