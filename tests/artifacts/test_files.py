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


@pytest.mark.parametrize("name", ["mine", "deep/mine"])
def test_a_file_that_nobody_described_is_foreign(entry, name):
    told = files.describe(entry)
    (entry / name).write_text("x")
    assert not files.are_intact(entry, told)


def test_what_the_store_keeps_in_an_entry_is_not_foreign(entry):
    told = files.describe(entry)
    for name in (files.NOTE, "used-by-a0", "removed-by-b1"):
        (entry / name).touch()
    assert files.are_intact(entry, told)
    assert (entry / "stamps.json").exists()
    assert files.are_intact(entry, told)


def test_after_a_restart_of_the_machine_everything_is_read_again(entry, monkeypatch):
    told, read = files.describe(entry), []
    assert files.are_intact(entry, told)
    monkeypatch.setattr(files, "_boot", lambda: "another")
    monkeypatch.setattr(files, "sha256", lambda path: read.append(path.name) or told[f"deep/{path.name}"]["sha256"])
    told.pop("b.bin")
    (entry / "b.bin").unlink()
    assert files.are_intact(entry, told)
    assert read == ["a.bin"]


def changed(path: Path, content: bytes) -> None:
    """Another content of the same size, with the times that the file had."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_the_identity_of_a_file_is_not_that_of_another_content_with_its_size_and_times(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(b"abc")
    first = files.identity(path)
    assert files.identity(path) == first
    changed(path, b"abd")  # at once: within what the clock of the file system tells apart
    assert files.identity(path) != first


def test_the_content_of_a_file_from_the_future_is_part_of_its_identity(tmp_path, monkeypatch):
    path = tmp_path / "data.bin"
    path.write_bytes(b"abc")
    monkeypatch.setattr(files.time, "time", lambda: 0.0)
    assert files.identity(path)[-1] == hashlib.sha256(b"abc").hexdigest()


def test_bytes_are_those_of_all_files_below_a_folder(entry, tmp_path):
    assert files.bytes_in(entry) == 3
    (entry / "gone").symlink_to(tmp_path / "nowhere")  # as if it was removed meanwhile
    assert files.bytes_in(entry) == 3
    assert files.bytes_in(tmp_path / "nowhere") == 0
