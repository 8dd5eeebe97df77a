from __future__ import annotations

import pytest

from bitpick.reports import words
from bitpick.schema.evidence import VersusNative
from bitpick.schema.fingerprint import Coverage, Fingerprint, Grid
from tests.example_runs import over_draws, small_run
from tests.records import row


def test_numbers():
    assert words.percent(0.8719) == "87.19%"
    assert words.points(0.0044) == "0.44"
    assert words.points(-0.0002) == "-0.02"
    assert words.points(-0.0) == "0.00"
    assert words.kilobytes(115_297) == "115.3 kB"


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("e:float32", "float32"),
        ("e:s8u8-per_channel-minmax", "int8 / uint8, per channel"),
        ("e:u8u8-per_tensor-minmax", "uint8 / uint8, per tensor"),
        ("e:s8dynamic", "int8 / int8 at run time"),
        ("e:s8weights", "int8 / float32"),
    ],
)
def test_dtypes(recipe, says):
    assert words.dtypes(row(recipe)) == says


def test_what_is_not_there_is_empty_or_says_why():
    failed = row(status="failed", reason="it broke")
    assert words.result(failed) == "failed"
    assert words.drop(failed) == words.size(failed) == words.reduction(failed) == ""


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        (None, ""),
        (Grid(dtype="float32"), "float32"),
        (Grid(dtype="s8", granularity="per_channel", symmetric=True, bits=7), "int8, per channel, symmetric, 7 bits"),
        (Grid(dtype="u8", granularity="per_tensor", symmetric=False, bits=8), "uint8, per tensor"),
        (Grid(dtype="s8", granularity="per_tensor", dynamic=True), "int8, dynamic, per tensor"),
    ],
)
def test_grids(grid, says):
    assert words.grid(grid) == says


@pytest.mark.parametrize(("share", "says"), [(1.0, "100%"), (0.99995, "99%"), (0.566, "56%"), (0.0, "0%")])
def test_only_all_of_it_is_all_of_it(share, says):
    assert words.integer(row(coverage=Coverage(macs=share, weights=1.0))) == says


def test_a_share_that_leaves_something_out_says_so():
    part = Coverage(macs=1.0, weights=1.0, uncounted=["Trees t"])
    assert words.integer(row(coverage=part)) == "100%, 1 not counted"


def test_a_row_of_another_cpu_is_beside_its_own_files():
    there = row(versus_native=VersusNative(samples=1000, correct=880, drop=0.036, flips=89))
    assert (words.drop(there), words.flips(there)) == ("3.60", "89")
    assert words.flips(row()) == ""


def test_reduction():
    assert words.reduction(row(size_ratio=0.367)) == "63%"


@pytest.mark.parametrize("text", ["a|b", "`code`", "<script>", "[x](javascript:1)", "*bold*", "back\\slash", "_i_"])
def test_a_cell_cannot_become_markup(text):
    escaped = words.cell(text)
    for mark in "|`<>[]*_":
        assert mark not in escaped.replace("\\" + mark, "")
    assert words.cell("two\nlines") == "two lines"


def test_what_a_recipe_loses_is_told_apart_from_what_its_file_loses():
    quantized = small_run().rows[1]
    assert words.over_draws(quantized) == ""
    over = over_draws(failed={1: "it broke"})
    assert words.over_draws(quantized.model_copy(update={"over_draws": over})) == (
        "this file loses 10.00 (4.00 to 17.00) points; the recipe, over 2 draws, loses 9.00 (0.00 to 20.00), "
        "from 8.00 to 10.00, and is not shown to lose less than 0.90; draw 1 failed: it broke"
    )
    left_out = quantized.model_copy(update={"no_over_draws": "it uses no calibration samples"})
    assert words.over_draws(left_out) == "not built from other calibration draws: it uses no calibration samples"


def test_what_was_not_measured_is_empty():
    assert words.over_draws(row()) == words.change(None) == words.decibels(None) == ""
    assert words.decibels(23.41) == "23.4 dB"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"status": "failed"}, "failed"),
        ({"kind": "baseline"}, "float32"),
        ({"flags": [{"code": "drop", "text": "x"}]}, "flagged"),
        ({"flags": [{"code": "slower_than_float", "text": "x"}]}, "not tested"),
        ({}, "not tested"),
    ],
)
def test_standing(fields, says):
    assert words.standing(row(**fields)) == says


def test_what_is_unseen_is_seen():
    assert words.cell("a\u202egnp\x07") == "a\\\\u202egnp\\\\u0007"
    assert words.cell("ä → 漢字\t\n") == "ä → 漢字"
    assert words.unmarked("a\u202e") == "a\\u202e"
    assert words.sentence("so") == words.sentence("so.") == "so."


def test_size_beside_the_baseline():
    assert words.size_beside(row(size_ratio=0.367)) == "63% smaller"
    assert words.size_beside(row(size_ratio=1.97)) == "97% larger"
    assert words.size_beside(row()) == ""


def test_the_weights_of_a_mixed_build_are_described_with_their_shares():
    four = Grid(dtype="s4", granularity="per_channel", symmetric=True, bits=4)
    ends = {"input": "s8", "output": "s8"}
    assert words.weights(Fingerprint(weights=four, **ends)) == "int4, per channel, symmetric, 4 bits"
    mixed = Fingerprint(weights=four, mix={"s4": 900, "s8": 100}, **ends)
    assert words.weights(mixed) == "int4, per channel, symmetric, 4 bits; 10% int8"
