from __future__ import annotations

import numpy as np
import pytest

from bitpick.conversion import verify
from bitpick.conversion.route import hops

HOP = hops()[0]
REFERENCE = np.random.default_rng(0).random((20, 4), dtype=np.float32)


def test_rounding_passes():
    found = verify.compare(HOP, (REFERENCE,), (REFERENCE + np.float32(1e-6),))
    assert found.passed
    assert found.samples == 20
    assert found.top1_agreement == 1.0
    assert found.tolerance == pytest.approx(1e-5 + 5e-5 * REFERENCE.max())


@pytest.mark.parametrize("change", [1e-4, 1.0, np.nan, np.inf])
def test_a_single_value_that_is_off_does_not_pass(change):
    outputs = REFERENCE.copy()
    outputs[3, 1] += np.float32(change)
    assert not verify.compare(HOP, (REFERENCE,), (outputs,)).passed


def test_another_shape_does_not_pass():
    assert not verify.compare(HOP, (REFERENCE,), (REFERENCE[:, :3],)).passed


def test_agreement_is_of_the_top_class():
    outputs = REFERENCE.copy()
    outputs[:5, (outputs[:5].argmax(1) + 1) % 4] = 2
    assert verify.compare(HOP, (REFERENCE,), (outputs,)).top1_agreement < 1.0


def test_the_first_difference_in_the_order_of_the_source():
    source = dict.fromkeys(("a", "b", "c", "d"), REFERENCE)
    target = source | {"b": REFERENCE[:, :3], "c": REFERENCE + 1, "d": REFERENCE + 2}
    assert verify.first_difference(source, target) == ("c", pytest.approx(1.0))
    assert verify.first_difference(source, source) is None
    assert verify.first_difference(source, source | {"d": REFERENCE * np.nan})[0] == "d"


def test_the_error_names_hop_tolerance_and_node():
    record = verify.compare(HOP, (REFERENCE,), (REFERENCE + 1,))
    text = str(verify.failure(record, ("conv_3", 0.5)))
    assert HOP.name in text
    assert "The first node that differs is conv_3, by 0.5" in text
    assert f"at most {record.tolerance:.3g}" in text
    assert "node" not in str(verify.failure(record, None))
