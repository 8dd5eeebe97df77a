from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import numpy as np
import pytest

from bitpick.artifacts import durable


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def synced(monkeypatch) -> list[str]:
    """The names of what is forced to the disk, and what is renamed, in order."""
    told: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor):
        told.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def noted_replace(source, target):
        told.append(f"rename {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    return told


def test_a_file_is_on_the_disk_before_it_has_its_name_and_the_name_is_after(tmp_path, synced):
    durable.write(tmp_path / "f", "text")
    assert synced == ["sync f", "rename f", f"sync {tmp_path.name}"]
    assert (tmp_path / "f").read_text() == "text"
    durable.write(tmp_path / "f", b"bytes")
    assert (tmp_path / "f").read_bytes() == b"bytes"
    assert names(tmp_path) == ["f"]


def test_a_folder_replaces_another_one_whole(tmp_path, synced):
    for content in ("old", "new"):
        synced.clear()
        with durable.replacing(tmp_path / "build") as partial:
            partial.mkdir()
            (partial / content).write_text(content)
    assert sorted(synced[:2]) == ["sync build", "sync new"]
    assert synced[-1] == f"sync {tmp_path.name}"
    assert names(tmp_path / "build") == ["new"]
    assert names(tmp_path) == ["build"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_what_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch, call):
    durable.write(tmp_path / "f", "old")

    def fails(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        with pytest.raises(OSError, match="No space left"):
            durable.write(tmp_path / "f", "new")
    assert (tmp_path / "f").read_text() == "old"
    assert names(tmp_path) == ["f"]


def test_a_folder_that_cannot_be_put_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "old").touch()
    replace = Path.replace

    def fails(path, target):
        if path.parent.name.startswith(".partial-") and Path(target).parent == tmp_path and not (path / "old").exists():
            raise OSError(errno.EIO, "Input/output error")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="Input/output"), durable.replacing(tmp_path / "build") as partial:
        partial.mkdir()
    assert names(tmp_path / "build") == ["old"]
    assert names(tmp_path) == ["build"]


@pytest.mark.parametrize(
    "array",
    [np.arange(6, dtype=np.int16).reshape(2, 3), np.zeros((0, 4), np.float32), np.array(["a", "bc"]), np.float32(3)],
    ids=["numbers", "none", "words", "one"],
)
def test_arrays_are_what_numpy_saves(tmp_path, array):
    durable.save_array(tmp_path / "a.npy", array)
    np.save(tmp_path / "b.npy", array)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_no_byte_of_an_array_is_lost_without_an_error():
    """NumPy's own writing loses the last ones."""
    with pytest.raises(OSError, match="No space left"), Path("/dev/full").open("wb") as file:
        np.lib.format.write_array(durable.Checked(file), np.zeros(10))


def test_copies_are_as_the_umask_says(tmp_path):
    (tmp_path / "source").mkdir(mode=0o700)
    (tmp_path / "source" / "f").write_text("x")
    (tmp_path / "source" / "f").chmod(0o600)
    before = os.umask(0o027)
    try:
        durable.copy(tmp_path / "source", tmp_path / "folder")
        durable.copy(tmp_path / "source" / "f", tmp_path / "file")
    finally:
        os.umask(before)
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "folder" / "f").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_the_first_error_of_a_copy_is_the_systems(tmp_path, monkeypatch):
    (tmp_path / "source" / "deep").mkdir(parents=True)
    (tmp_path / "source" / "deep" / "f").touch()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left") as error:
        durable.copy(tmp_path / "source", tmp_path / "copy")
    assert error.value.errno == errno.ENOSPC
    assert names(tmp_path) == ["source"]


def test_what_killed_processes_left_is_swept(tmp_path):
    (tmp_path / "builds" / f"{durable.PARTIAL}x" / "model").mkdir(parents=True)
    (tmp_path / "builds" / "a").mkdir()
    for name in (".run.json-x", f"{durable.PARTIAL}y", "run.json", "builds/a/model"):
        (tmp_path / name).touch()
    durable.sweep(tmp_path)
    assert names(tmp_path) == ["builds", "run.json"]
    assert names(tmp_path / "builds") == ["a"]
    assert names(tmp_path / "builds" / "a") == ["model"]


def test_a_folder_is_never_replaced_by_a_file(tmp_path):
    (tmp_path / "report.md").mkdir()
    (tmp_path / "report.md" / "thesis").touch()
    with pytest.raises(IsADirectoryError):
        durable.write(tmp_path / "report.md", "text")
    assert names(tmp_path / "report.md") == ["thesis"]


def test_what_was_left_in_a_folder_of_the_users_goes_after_a_day(tmp_path):
    for name, hours in (("old", 25), ("new", 1)):
        (tmp_path / f"{durable.PARTIAL}{name}").mkdir()
        os.utime(tmp_path / f"{durable.PARTIAL}{name}", (time.time() - hours * 3600,) * 2)
    (tmp_path / ".partial-of-others").touch()
    os.utime(tmp_path / ".partial-of-others", (0, 0))
    durable.sweep_old(tmp_path)
    assert names(tmp_path) == [f"{durable.PARTIAL}new", ".partial-of-others"]


def test_a_folder_without_rights_is_removed(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").touch()
    for each in (tmp_path / "a" / "b", tmp_path / "a"):
        each.chmod(0)
    durable.remove(tmp_path / "a")
    assert names(tmp_path) == []
