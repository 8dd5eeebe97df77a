from __future__ import annotations

import pytest

from bitpick.report import words
from bitpick.result import Row


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


def test_reduction():
    assert words.reduction(row(size_ratio=0.367)) == "63%"


@pytest.mark.parametrize("text", ["a|b", "`code`", "<script>", "[x](javascript:1)", "*bold*", "back\\slash", "_i_"])
def test_a_cell_cannot_become_markup(text):
    escaped = words.cell(text)
    for mark in "|`<>[]*_":
        assert mark not in escaped.replace("\\" + mark, "")
    assert words.cell("two\nlines") == "two lines"
