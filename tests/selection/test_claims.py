from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from bitpick.selection.claims import candidates, samples_needed, score, with_claims
from bitpick.statistics import holm
from tests.selection.judging import TARGETS, TASK, N, judged_rows


def test_only_rows_that_could_be_recommended_are_tested():
    rows, _ = judged_rows(
        [
            ("a:x", range(20), {}),
            ("a:y", range(20), {"flags": [{"code": "partly_float", "text": "t"}]}),
            ("b:z", range(20), {"deprecated": "it goes"}),
            ("c:h", range(20), {"kind": "reduced_precision"}),
        ]
    )
    assert [row.id for row in candidates(rows)] == ["a:x"]


def test_a_claim_is_that_of_the_score_and_all_tests_at_once():
    rows, predicted = judged_rows([("a:x", range(20), {}), ("a:y", range(500, 530), {}), ("a:z", range(900, 990), {})])
    found = {row.id: row.versus_baseline for row in with_claims(rows, predicted, TARGETS, TASK, 0.05)}
    alone = [norm.sf(score(row)) for row in rows if row.versus_baseline]
    told = [found[name].noninferiority_p for name in ("a:x", "a:y", "a:z")]
    assert told == pytest.approx(holm(alone), abs=0.01)  # losses on other samples are nearly independent
    assert [found[name].noninferior for name in ("a:x", "a:y", "a:z")] == [True, True, False]
    assert rows[0].versus_baseline is None  # the baseline


def test_rows_that_are_alike_cost_no_more_than_one():
    once, predicted = judged_rows([("a:x", range(70), {})])
    alone = with_claims(once, predicted, TARGETS, TASK, 0.05)[1].versus_baseline.noninferiority_p
    many, predicted = judged_rows([(f"a:{i}", range(70), {}) for i in range(8)])
    told = [row.versus_baseline.noninferiority_p for row in with_claims(many, predicted, TARGETS, TASK, 0.05)[1:]]
    assert told == pytest.approx([alone] * 8, abs=0.004)
    assert min(holm([alone] * 8)) > 4 * alone


def test_a_row_that_is_no_candidate_any_more_loses_its_claim():
    rows, predicted = judged_rows([("a:x", range(5), {}), ("a:y", range(5), {})])
    first = with_claims(rows, predicted, TARGETS, TASK, 0.05)
    assert first[1].versus_baseline.noninferior
    flagged = [first[0], first[1].model_copy(update={"deprecated": "it goes"}), first[2]]
    again = with_claims(flagged, predicted, TARGETS, TASK, 0.05)
    assert again[1].versus_baseline.noninferior is None
    assert again[2].versus_baseline.noninferior


def test_a_row_that_is_its_baseline_on_every_sample():
    rows, predicted = judged_rows([("a:x", (), {}), ("a:y", range(20), {})])
    assert with_claims(rows, predicted, TARGETS, TASK, 0.05)[1].versus_baseline.noninferior


def test_samples_needed_are_those_of_the_hardest_of_the_tests():
    rows, _ = judged_rows([("a:x", range(70), {})])
    assert samples_needed(rows[1], 10, 0.05) > samples_needed(rows[1], 1, 0.05) > 0
    rows, _ = judged_rows([("a:x", range(N // 2), {})])
    assert samples_needed(rows[1], 1, 0.05) is None


def test_nothing_to_test():
    rows, predicted = judged_rows([])
    assert with_claims(rows, predicted, TARGETS, TASK, 0.05) == rows
    assert np.array_equal(predicted["a:float32"], TARGETS)


def test_a_flag_of_what_is_tested_takes_no_row_out_of_the_family():
    """Else the lucky ones of many builds that lose the margin would be tested as if they were few."""
    builds = [(f"a:{i}", range(60 * i, 60 * i + 80 + 4 * i), {}) for i in range(8)]
    rows, predicted = judged_rows(builds, flag_drop=0.018)
    assert {row.id for row in rows if row.faults} == {"a:3", "a:4", "a:5", "a:6", "a:7"}
    assert len(candidates(rows)) == 8
    plain, _ = judged_rows(builds)
    claims = [[row.versus_baseline.noninferiority_p for row in with_claims(each, predicted, TARGETS, TASK, 0.05)[1:]]
              for each in (rows, plain)]  # fmt: skip
    assert claims[0] == claims[1]
