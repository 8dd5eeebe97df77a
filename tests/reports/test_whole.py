from __future__ import annotations

from bitpick.reports import whole
from tests.reports.factory import full_run


def test_findings_are_told_once_with_their_rows(tmp_path):
    found = whole.findings(full_run(tmp_path))
    assert [finding.about for finding, _ in found] == ["slow", "big"]
    assert [len(rows) for _, rows in found] == [4, 4]


def test_the_answer_leaves_out_what_was_not_measured(tmp_path):
    run = full_run(tmp_path)
    pick = run.row(run.recommendation.id)
    pick.latency.ratio_reference_interval = (0.2, 1.1)
    assert whole.answer(run).endswith(
        "takes 0.45 times as long as alpha:float32 (0.20 to 1.10; under 1 is faster, not resolvable here)."
    )
    run.recommendation.folds = None
    assert "a drop of 0.50 points beside its own float32 (95% interval 0.10 to 0.90, shown" in whole.answer(run)
    pick.latency = pick.versus_baseline = pick.size_bytes = None
    assert whole.answer(run) == "It gets 89.50% right."
    run.recommendation.id = None
    assert whole.answer(run) == ""


def test_limits(tmp_path):
    run = full_run(tmp_path)
    assert whole.limits(run) == "a drop of at most 2.00 points, at most 500.0 kB, at most 1.5 of the reference's time"
    run.request.max_drop = run.request.max_size = run.request.max_latency_ratio = None
    assert whole.limits(run) == ""
