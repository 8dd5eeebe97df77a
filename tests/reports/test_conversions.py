from __future__ import annotations

from bitpick.reports import conversions
from bitpick.schema.hop import Exact, Hop

BASE = {"name": "a → b", "source": "a", "target": "b", "samples": 128, "max_abs_diff": 2e-6, "passed": True}


def test_the_larger_share_is_typical_and_agreement_is_shown_where_there_are_classes():
    hop = Hop(**BASE, rms_diff=1e-7, channel_diff=3e-7, bound=1e-5)
    assert conversions.columns([hop]) == ["samples", "typical difference", "largest difference", "held to"]
    assert conversions.cells(hop, [hop]) == ["128", "3e-07", "2e-06", "1e-05"]
    other = hop.model_copy(update={"top1_agreement": 1.0})
    assert conversions.columns([hop, other])[-1] == "top-1 agreement"
    assert conversions.cells(other, [hop, other])[-1] == "100.00%"
    assert conversions.cells(hop, [hop, other])[-1] == ""


def test_a_hop_that_float64_decided_says_so():
    hop = Hop(**BASE, rms_diff=2e-5, channel_diff=3e-5, bound=1e-5, exact=Exact(samples=32, source=2e-5, target=4e-5))
    assert conversions.cells(hop, [hop])[-1] == "float64: 2e-05 and 4e-05 away"


def test_older_runs_have_one_tolerance():
    hop = Hop(**BASE, tolerance=6e-5, top1_agreement=1.0)
    assert conversions.cells(hop, [hop]) == ["128", "", "2e-06", "6e-05", "100.00%"]
