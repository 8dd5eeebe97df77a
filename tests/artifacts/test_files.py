from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from bitpick.artifacts import files


@pytest.fixture
def entry(tmp_path) -> Path:
    (tmp_path / "entry" / "deep").mkdir(parents=True)
    (tmp_path / "entry" / "deep" / "a.bin").write_bytes(b"abc")
    (tmp_path / "entry" / "b.bin").write_bytes(b"")
    return tmp_path / "entry"


def test_files_are_described_by_their_paths_in_the_folder(entry):
    assert files.describe(entry) == {
        "b.bin": {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()},
        "deep/a.bin": {"bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()},
    }


def test_a_file_that_was_written_again_as_it_was_holds(entry):
    told = files.describe(entry)
    assert files.are_intact(entry, told)
    (entry / "deep" / "a.bin").write_bytes(b"abc")
    os.utime(entry / "deep" / "a.bin", (0, 0))
    assert files.are_intact(entry, told)
    (entry / "deep" / "a.bin").write_bytes(b"abd")
    assert not files.are_intact(entry, told)


def test_what_was_looked_at_is_not_read_again(entry, monkeypatch):
    told = files.describe(entry)
    assert files.are_intact(entry, told)
    monkeypatch.setattr(files, "sha256", lambda path: pytest.fail(f"{path} is read"))
    assert files.are_intact(entry, told)


def test_of_several_files_those_that_were_touched_are_read(entry, monkeypatch):
    told, read = files.describe(entry), []
    assert files.are_intact(entry, told)
    os.utime(entry / "b.bin", (0, 0))
    monkeypatch.setattr(files, "sha256", lambda path: read.append(path.name) or told[path.name]["sha256"])
    assert files.are_intact(entry, told)
    assert read == ["b.bin"]


def test_what_lies_beside_them_is_nothing_to_them(entry):
    told = files.describe(entry)
    (entry / "mine").write_text("x")
    assert files.are_intact(entry, told)


def test_a_very_large_file_that_was_touched_does_not_hold(entry, monkeypatch):
    monkeypatch.setattr(files, "_HASH_LIMIT", 2)
    told = files.describe(entry)
    assert told["deep/a.bin"] == {"bytes": 3, "sha256": None}
    assert files.are_intact(entry, told)
    os.utime(entry / "deep" / "a.bin", (0, 0))
    assert not files.are_intact(entry, told)


def test_bytes_are_those_of_all_files_below_a_folder(entry, tmp_path):
    assert files.bytes_in(entry) == 3
    (entry / "gone").symlink_to(tmp_path / "nowhere")  # as if it was removed meanwhile
    assert files.bytes_in(entry) == 3
    assert files.bytes_in(tmp_path / "nowhere") == 0
