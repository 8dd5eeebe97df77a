"""Limits that depend on what a build is shipped for."""

from __future__ import annotations

import pytest

from bitpick.schema.fingerprint import Coverage, Fingerprint, Grid
from bitpick.selection.limits import is_integer
from tests import records
from tests.selection.judging import recommended, sized


def executed(ends="s8", dynamic=False, floats=()):
    """The fields of a row whose runtime executes this."""
    activations = Grid(dtype="s8", granularity="per_tensor", bits=8, dynamic=dynamic)
    return {
        "fingerprint": Fingerprint(activations=activations, input=ends, output=ends),
        "coverage": Coverage(macs=1.0, weights=1.0, float_operators=list(floats), uncounted=[]),
    }


@pytest.mark.parametrize(
    ("fields", "integer"),
    [
        (executed(), True),
        (executed("float32"), False),
        (executed(dynamic=True), False),
        (executed(floats=["SOFTMAX x"]), False),
        ({}, False),
    ],
)
def test_a_microcontroller_runs_integers_from_end_to_end(fields, integer):
    assert is_integer(records.row(**fields)) == integer


ROWS = [
    ("a:small", range(20), sized(100, **executed(dynamic=True))),
    ("a:fixed", range(40), sized(200, **executed())),
]


def test_a_use_is_a_limit():
    found = recommended(ROWS, use="microcontroller")
    assert found.id == "a:fixed"
    assert any(
        line.startswith("Good enough, but not builds that are integer from input to output, with fixed scales: a:small")
        for line in found.because
    )
    for use in ("phone", "server"):
        assert recommended(ROWS, use=use).id == "a:small"
    none = recommended(ROWS[:1], use="microcontroller")
    assert none.id is None
    assert "none does what was asked for: are integer from input to output" in none.because[0]


def test_a_pick_with_dynamic_activations_says_what_to_ship_to_a_microcontroller():
    text = " ".join(recommended(ROWS).because)
    assert "Microcontrollers cannot run it, because it computes the scales of its activations while it runs" in text
    assert "while it runs: ship a:fixed (99.20%, 0.2 kB) there." in text
    text = " ".join(recommended(ROWS[:1]).because)
    assert "while it runs: no build with fixed scales is shown to be good enough here." in text
    assert "Microcontrollers" not in " ".join(recommended(ROWS[1:]).because)
