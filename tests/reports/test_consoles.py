from __future__ import annotations

import io

import pytest
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from bitpick.library_errors import LONGEST
from bitpick.reports import terminal
from bitpick.reports.consoles import SafeConsole
from tests.example_runs import full_run

ESCAPES = "\x1b]0;title\x07\x1b[2Ja\x9b31m\r\u202eb\x00"
OBEYED = set("\x1b\x07\x9b\r\u202e\x00")


def shown(*renderables, width=400, **options) -> str:
    console = SafeConsole(file=io.StringIO(), width=width, highlight=False, markup=False, **options)
    for each in renderables:
        console.print(each)
    return console.file.getvalue()


def cell(text) -> Table:
    table = Table(box=None)
    table.add_column(Text(text))
    table.add_row(Text(text))
    return table


@pytest.mark.parametrize(
    "make",
    [Text, str, cell, lambda text: Spinner("dots", Text(text)), lambda text: Text.assemble("a ", (text, "bold"))],
    ids=["text", "string", "cell", "spinner", "assembled"],
)
def test_a_terminal_has_nothing_to_obey(make):
    text = shown(make(ESCAPES))
    assert not set(text) & OBEYED
    assert r"\u001b]0;title" in text


def test_a_name_stays_on_its_line_and_a_heading_has_its_lines():
    assert shown(Text("model: a\nShip me")) == "model: a\\nShip me\n"
    table = Table(box=None)
    table.add_column("weights\ndB")
    table.add_row(Text("1\n2"))
    assert [line.strip() for line in shown(table).splitlines()] == ["weights", "dB", r"1\n2"]


def test_styles_are_the_consoles_own():
    styled = shown(Text("good", style="bold"), Text("\x1b[1mbad"), force_terminal=True, color_system="standard")
    assert styled == "\x1b[1mgood\x1b[0m\n\\u001b[1mbad\n"


def test_a_text_has_an_end():
    text = shown(Text("x" * 469_000))
    assert text.count("x") == LONGEST
    assert "… and 465,000 more characters" in " ".join(text.split())


def test_a_wide_name_does_not_make_lines_wider_than_the_terminal():
    lines = shown(Text("\x1b" * 100), cell("\x1b" * 30), width=40).splitlines()
    assert max(map(len, lines)) <= 40


def test_a_whole_run_of_hostile_names_is_shown_as_it_is(tmp_path):
    text = shown(terminal.summary(full_run(tmp_path, lambda name: f"{ESCAPES.rstrip(chr(0))}{name}"), "x"))
    assert not set(text) & OBEYED
    assert r"\u001b[2Ja" in text
