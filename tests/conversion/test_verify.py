from __future__ import annotations

import numpy as np
import pytest

from bitpick.conversion import verify
from bitpick.conversion.route import hops
from bitpick.schema.hop import Hop

HOP = hops()[0]
SIDES = HOP.source, HOP.target
REFERENCE = np.random.default_rng(0).random((20, 4), dtype=np.float32)


def never(which):
    raise AssertionError("the sides are close enough without float64")


def test_rounding_passes_without_float64():
    found = verify.compare(SIDES, (REFERENCE,), (REFERENCE + np.float32(1e-6),), never, classes=True)
    assert found.passed
    assert found.samples == 20
    assert found.top1_agreement == 1.0
    assert max(found.rms_diff, found.channel_diff) < found.bound
    assert found.max_abs_diff == pytest.approx(1e-6, rel=0.1)
    assert found.exact is None


@pytest.mark.parametrize("change", [1e-2, 1.0, np.nan, np.inf])
def test_without_float64_the_bound_decides(change):
    outputs = REFERENCE.copy()
    outputs[3, 1] += np.float32(change)
    assert not verify.compare(SIDES, (REFERENCE,), (outputs,)).passed


def test_float64_decides_where_the_bound_is_exceeded():
    exact = REFERENCE.astype(np.float64)
    rng = np.random.default_rng(1)
    first, second = (REFERENCE + rng.normal(0, 1e-4, REFERENCE.shape).astype(np.float32) for _ in range(2))
    found = verify.compare(SIDES, (first,), (second,), lambda which: (exact[which],))
    assert found.passed
    assert found.rms_diff > found.bound
    assert found.exact.samples == 20
    assert found.exact.source == pytest.approx(found.exact.target, rel=0.5)
    found = verify.compare(SIDES, (REFERENCE,), (second,), lambda which: (exact[which],))
    assert not found.passed


def test_a_graph_that_float64_does_not_run_leaves_the_bound():
    def run_exact(which):
        raise NotImplementedError("no such operator")

    found = verify.compare(SIDES, (REFERENCE,), (REFERENCE + 1,), run_exact)
    assert (found.passed, found.exact, found.no_exact) == (False, None, "no such operator")
    assert "does not run in float64 (no such operator)" in str(verify.failure(found, None))


def test_another_shape_does_not_pass():
    found = verify.compare(SIDES, (REFERENCE,), (REFERENCE[:, :3],), never)
    assert not found.passed
    assert Hop.model_validate_json(found.model_dump_json(exclude_none=True)) == found
    assert "another shape" in str(verify.failure(found, None))


def test_agreement_is_of_the_top_class_where_there_are_classes():
    outputs = REFERENCE.copy()
    outputs[:5, (outputs[:5].argmax(1) + 1) % 4] = 2
    found = verify.compare(SIDES, (REFERENCE,), (outputs,), classes=True)
    assert found.top1_agreement < 1.0
    assert "top-1 classes" in str(verify.failure(found, None))
    found = verify.compare(SIDES, (REFERENCE,), (outputs,))
    assert found.top1_agreement is None
    assert "top-1" not in str(verify.failure(found, None))


def test_the_first_difference_in_the_order_of_the_source():
    source = dict.fromkeys(("a", "b", "c", "d"), REFERENCE)
    target = source | {"b": REFERENCE[:, :3], "c": REFERENCE + 1, "d": REFERENCE + 2}
    assert verify.first_difference(source, target) == ("c", pytest.approx(1.0))
    assert verify.first_difference(source, source) is None
    assert verify.first_difference(source, source | {"d": REFERENCE * np.nan})[0] == "d"


def test_the_error_names_hop_bound_and_node():
    record = verify.compare(SIDES, (REFERENCE,), (REFERENCE + 1,))
    text = str(verify.failure(record, ("conv_3", 0.5)))
    assert HOP.name in text
    assert "The first node that differs is conv_3, by up to 0.5" in text
    assert "at most 1e-05 of the outputs' size" in text
    assert "please report it" in text
    assert "node" not in str(verify.failure(record, None))


def test_a_model_that_draws_random_numbers_is_no_defect_of_a_converter():
    record = verify.compare(SIDES, (REFERENCE,), (REFERENCE + 1,))
    text = str(verify.failure(record, None, unsteady="exported"))
    assert "the exported model gives different outputs" in text
    assert "model.eval()" in text
    assert "report" not in text


def test_runs_with_one_tolerance_stay_readable():
    old = {"name": "a → b", "source": "a", "target": "b", "samples": 128, "max_abs_diff": 1e-6, "tolerance": 6e-5}
    found = Hop.model_validate({**old, "top1_agreement": 1.0, "passed": True})
    assert (found.tolerance, found.bound) == (6e-5, None)
