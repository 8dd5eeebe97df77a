from __future__ import annotations

import pytest

from bitpick.evidence import VersusNative
from bitpick.fingerprint import Coverage, Grid
from bitpick.reports import words
from bitpick.result import Row
from bitpick.robustness import OverDraws
from tests.reports.test_markdown import over_draws, run


def row(recipe="e:s8u8-per_channel-minmax", **fields) -> Row:
    return Row(**({"id": recipe, "recipe": recipe, "engine": "e", "kind": "quantized", "status": "ok"} | fields))


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
    quantized = run().rows[1]
    assert words.over_draws(quantized) == ""
    over = OverDraws.model_validate(over_draws(failed={1: "it broke"}))
    assert words.over_draws(quantized.model_copy(update={"over_draws": over})) == (
        "this file loses 10.00 (4.00 to 17.00) points; the recipe, over 2 draws, loses 9.00 (0.00 to 20.00), "
        "from 8.00 to 10.00, and is not shown to lose less than 0.90; draw 1 failed: it broke"
    )
    left_out = quantized.model_copy(update={"no_over_draws": "it uses no calibration samples"})
    assert words.over_draws(left_out) == "not built from other calibration draws: it uses no calibration samples"


def timed(**fields):
    told = {
        "p50": 0.000263, "p90": 0.0003, "reference": "a:float32", "control": 1.0, "control_interval": (0.99, 1.01),
        "resolvable": True, "threads": 1, "processes": 5, "pairs": 100, "ratio_own": 0.5, "ratio_reference": 0.45,
        "ratio_own_interval": (0.49, 0.51), "ratio_reference_interval": (0.44, 0.46),
    }  # fmt: skip
    return row(latency=told | fields)


def test_times_and_their_ratios():
    assert words.latency(timed()) == "263 µs"
    assert words.ratio_own(timed()) == "0.50 (0.49 to 0.51)"
    assert words.ratio_reference(timed()) == "0.45 (0.44 to 0.46)"
    assert words.ratio_reference(timed(ratio_reference_interval=None)) == "0.45"
    assert words.time_beside(timed()) == "0.45"


def test_a_ratio_that_the_machine_cannot_tell_is_not_told():
    unsteady = timed(resolvable=False)
    assert words.ratio_own(unsteady) == words.ratio_reference(unsteady) == "not resolvable on this machine"
    assert words.time_beside(unsteady) == "?"


def test_the_reference_is_beside_itself():
    reference = timed(reference="e:s8u8-per_channel-minmax", ratio_reference=None)
    assert words.ratio_reference(reference) == "the reference"
    assert words.time_beside(reference) == "1"


def test_what_was_not_timed_is_empty():
    for told in (words.latency, words.ratio_own, words.ratio_reference, words.time_beside, words.throughput):
        assert told(row()) == ""
    assert words.memory(row()) == words.over_draws(row()) == ""
    assert words.change(None) == words.decibels(None) == ""


def test_throughput_memory_and_signal():
    fast = row(throughput={"batch": 32, "threads": 1, "samples_per_second": 12345.6}, memory_bytes=12_345_678)
    assert words.throughput(fast) == "12,346 a second"
    assert words.memory(fast) == "12.3 MB"
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
    assert words.visible("a\u202egnp\x07") == "a\\u202egnp\\u0007"
    assert words.visible("ä → 漢字\t\n") == "ä → 漢字\t\n"
    assert words.sentence("so") == words.sentence("so.") == "so."


def test_size_beside_the_baseline():
    assert words.size_beside(row(size_ratio=0.367)) == "63% smaller"
    assert words.size_beside(row(size_ratio=1.97)) == "97% larger"
    assert words.size_beside(row()) == ""
