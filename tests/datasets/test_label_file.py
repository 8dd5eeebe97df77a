from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitpick.datasets import label_file
from bitpick.errors import DataError


def test_from_files_of_their_own(tmp_path):
    np.save(tmp_path / "a.npy", np.array([3, 1]))
    np.save(tmp_path / "words.npy", np.array(["x", "y"]))
    (tmp_path / "a.txt").write_text("cat\n dog \n\n")
    (tmp_path / "one.csv").write_text("label\ncat\ndog\n")
    (tmp_path / "two.csv").write_text('file,label\na.png,cat\n"b,c.png",dog\n')
    assert list(label_file.read(str(tmp_path / "a.npy"))) == [3, 1]
    assert list(label_file.read(str(tmp_path / "words.npy"))) == ["x", "y"]
    for name in ("a.txt", "one.csv", "two.csv:label"):
        assert list(label_file.read(str(tmp_path / name))) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("no.txt", None, "there is no label file"),
        ("a.txt", "a\n\nb\n", "line 2 of"),
        ("a.txt", "", "is empty"),
        ("a.csv", "x,y\n1,2\n", "has the columns x, y"),
        ("a.csv:z", "x,y\n1,2\n", "has no column 'z'"),
    ],
)
def test_files_that_hold_no_labels(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name.partition(":")[0]).write_text(content)
    with pytest.raises(DataError, match=says):
        label_file.read(str(tmp_path / name))


FILES = [Path("photos/7.png"), Path("photos/8.png"), Path("photos/9.png")]


def test_a_column_that_names_none_of_the_files_leaves_their_order(tmp_path):
    (tmp_path / "a.csv").write_text("age,kind\n30,x\n7,y\n50,z\n")
    found, told = label_file.of_files(f"{tmp_path / 'a.csv'}:kind", FILES)
    assert list(found) == ["x", "y", "z"]
    assert told == "labels: the lines of a.csv, in the order of the pictures' file names"


def test_a_column_that_names_the_files_gives_each_its_own(tmp_path):
    (tmp_path / "a.csv").write_text("kind,id\nx,9\ny,7\nz,8\n")
    assert list(label_file.of_files(f"{tmp_path / 'a.csv'}:kind", FILES)[0]) == ["y", "z", "x"]
