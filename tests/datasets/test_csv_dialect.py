from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpick.datasets.csv_file import CsvTable
from bitpick.errors import DataError

INDEX = "the first column, which has no name and numbers the rows, is left out"
NAMELESS = "a.csv has no header: its columns are called 0 to {}, from left to right"


def read(folder, *lines: str, end: str = "\n") -> tuple[dict[str, list[str]], list[str]]:
    """Every column of a file of these lines, and the notes."""
    path = folder / "a.csv"
    path.write_bytes((end.join(lines) + end).encode())
    table = CsvTable(path)
    (chunk,) = table.chunks(table.columns)
    return {name: list(cells) for name, cells in chunk.items()}, list(table.notes)


DIALECTS = {
    "quoted names": (['"temp, C";"p, bar";label', "1.5;2;0", "3;4;1"], {"temp, C": "1.5 3", "p, bar": "2 4"}),
    "quoted names and commas": (['"t; C","p; bar"', "1,2", "3,4"], {"t; C": "1 3", "p; bar": "2 4"}),
    "decimal commas": (["a;b;label", "1,5;2;x", "3;-4,25e3;y"], {"a": "1.5 3", "b": "2 -4.25e3"}),
    "decimal commas below commas": (["temp, C;p, bar", "1,5;2,5", "3,5;4,5"], {"temp, C": "1.5 3.5"}),
    "tabs": (["a\tb", "1,5\t2", "3\t4"], {"a": "1.5 3", "b": "2 4"}),
    "bars": (["a|b", "1|2"], {"a": "1", "b": "2"}),
    "spaces": (["# a b c", "1.0 2.0  3.0", "4.0 5.0 6.0"], {"a": "1.0 4.0", "c": "3.0 6.0"}),
    "spaces after commas": (['a, "b, c", d', '1, "2", 3'], {"a": "1", "b, c": "2", "d": "3"}),
    "labels with commas": (["a,label", '1,"x, y"', "2,z"], {"a": "1 2"}),
    "an end of many commas": (["a,b", "1,2", "", ",", ", ,"], {"a": "1", "b": "2"}),
    "a delimiter at the end of names and rows": (["a,b,", "1,2,", "3,4,"], {"a": "1 3", "b": "2 4"}),
    "a delimiter at the end of rows": (["a,b", "1,2,", "3,4,"], {"a": "1 3", "b": "2 4"}),
    "a mark before the names": (["# a,b", "1,2"], {"a": "1", "b": "2"}),
    "a line for spreadsheets": (["sep=;", "a;b", "1;2"], {"a": "1", "b": "2"}),
    "points beside commas": (["a;b", "1.5;x,y", "2.5;z"], {"a": "1.5 2.5", "b": "x,y z"}),
}


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_cells_in_every_dialect(tmp_path, dialect, end):
    lines, wanted = DIALECTS[dialect]
    found, notes = read(tmp_path, *lines, end=end)
    assert {name: " ".join(found[name]) for name in wanted} == wanted
    assert bool(notes) == ("decimal" in dialect or dialect == "tabs")


HEADS = {
    "pandas": ([",a,label", "0,1.5,x", "1,2.5,y"], ["a", "label"], [INDEX]),
    "pandas, read and written again": (["Unnamed: 0,a", "7,1.5", "3,2.5"], ["a"], [INDEX]),
    "R": (["a,b", "1,1.5,2", "2,2.5,3"], ["a", "b"], [INDEX]),
    "an array that pandas wrote": (["0,1,2,3", "1.5,2,3,0", "2.5,1,1,1"], ["0", "1", "2", "3"], []),
    "that with its index": ([",0,1", "0,1.5,2", "1,2.5,1"], ["0", "1"], [INDEX]),
    "numbers and the label": (["0,1,label", "1.5,2,a", "2.5,1,b"], ["0", "1", "label"], []),
    "wavelengths": (["400.5,410,420,kind", "3,2,1,a", "2,1,3,b"], ["400.5", "410", "420", "kind"], []),
    "numbers from 1 above": (["1,2,kind", "3,2,a", "2,1,b", "3,3,b"], ["1", "2", "kind"], []),
    "years": (["name,2020,2021,2022", "a,1,5,2", "b,4,3,1"], ["name", "2020", "2021", "2022"], []),
    "no names": (["5.1,3.5,0.2", "4.9,3.0,0.2", "1,2,3"], ["0", "1", "2"], [NAMELESS.format(2)]),
    "no names, and words": (["5.1,3.5,a", "4.9,3.0,a", "1,2,b"], ["0", "1", "2"], [NAMELESS.format(2)]),
    "no names, and whole numbers": (["5,0,0,255", "0,0,0,3"], ["0", "1", "2", "3"], [NAMELESS.format(3)]),
}


@pytest.mark.parametrize("head", HEADS)
def test_the_first_row_has_names_or_is_a_sample(tmp_path, head):
    lines, columns, notes = HEADS[head]
    found, told = read(tmp_path, *lines)
    assert list(found) == columns
    assert told == notes
    assert len(found[columns[0]]) == len(lines) - (not told or told == [INDEX])


def test_a_first_column_without_a_name_that_is_no_index(tmp_path):
    with pytest.raises(DataError, match=r"column 1 of .* has no name"):
        read(tmp_path, ",a", "0.5,1", "0.7,2")


CELLS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: f"{value:.3f}")
WORDS = st.text(st.characters(categories=("Lu", "Ll")), min_size=1, max_size=5)


@given(
    st.sampled_from(",;\t|"),
    st.lists(WORDS.map(lambda w: f"n{w},;|"), min_size=2, max_size=5, unique=True),
    st.lists(st.lists(CELLS, min_size=5, max_size=5), min_size=1, max_size=8),
    st.booleans(),
)
def test_whatever_is_written_is_read(tmp_path_factory, delimiter, names, rows, commas):
    commas = commas and delimiter != ","
    rows = [row[: len(names)] for row in rows]
    lines = [[f'"{name}"' for name in names]]
    lines += [[cell.replace(".", ",") if commas else cell for cell in row] for row in rows]
    found, notes = read(tmp_path_factory.mktemp("csv"), *(delimiter.join(line) for line in lines))
    assert list(found) == names
    assert [list(row) for row in zip(*found.values(), strict=True)] == rows
    assert bool(notes) == commas
