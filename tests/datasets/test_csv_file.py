from __future__ import annotations

import pytest

from bitpick.datasets import csv_file
from bitpick.datasets.csv_file import CsvTable
from bitpick.errors import DataError


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", ", "])
def test_cells_by_column(tmp_path, monkeypatch, delimiter):
    monkeypatch.setattr(csv_file, "_ROWS", 2)
    path = tmp_path / "a.csv"
    rows = [["a", "b c", "d"], ["1", '"x, y; z"', "3"], ["4", " 5 ", "6"], [], ["7", "8", "9"]]
    path.write_text("\ufeff" + "\r\n".join(delimiter.join(row) for row in rows), encoding="utf-8")
    table = CsvTable(path)
    assert table.columns == ("a", "b c", "d")
    chunks = [{name: list(cells) for name, cells in chunk.items()} for chunk in table.chunks(["d", "b c"])]
    assert chunks == [{"d": ["3", "6"], "b c": ["x, y; z", "5"]}, {"d": ["9"], "b c": ["8"]}]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "expected: the names of the columns"),
        (b"a,,c\n1,x,2\n", "column 2 of"),
        (b"a\n1,5\n2,5\n", "row 1 has 2 cells, but there are 1 columns"),
        (b"a,a\n1,2\n", "has two columns 'a'"),
        (b"a,b\n1,2\n3\n", "row 2 has 1 cells, but there are 2 columns"),
        (b"a;b\n1;2\n3;4;5\n", "a cell for each column, separated by semicolons"),
        (b"a,b\n" + b"1,2\n" * 10_000 + b"1,\xff\n", "cannot be read after row 0"),
        (b"\xff\xfe,b\n", "is not UTF-8 text"),
    ],
)
def test_what_is_no_table(tmp_path, content, says):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError) as error:
        list(CsvTable(tmp_path / "a.csv").chunks(["a"]))
    assert says in str(error.value)
