from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bitpick.artifacts.temporary import root
from bitpick.datasets import cache
from bitpick.errors import DataError

pytestmark = pytest.mark.usefixtures("own_cache")


def entry(key: str, size: int = 1000) -> tuple:
    def make(folder):
        (folder / "a.bin").write_bytes(bytes(size))
        return {"made": key}

    return cache.entry([key], size, make)


def used_by_nobody(folder) -> None:
    for mark in folder.glob("used-by-*"):
        mark.unlink()


def test_an_entry_is_made_once():
    made = []

    def make(folder):
        made.append(folder)
        return {"number": len(made)}

    first, noted = cache.entry(["a", 1], 10, make)
    again, also = cache.entry(["a", 1], 10, make)
    other, _ = cache.entry(["a", 2], 10, make)
    assert (first, noted) == (again, also)
    assert other != first
    assert len(made) == 2


def test_an_entry_that_was_edited_is_made_again():
    def make(folder):
        np.save(folder / "0.npy", np.arange(3))
        return {}

    folder, _ = cache.entry(["a"], 10, make)
    np.save(folder / "0.npy", np.arange(4))
    folder, _ = cache.entry(["a"], 10, make)
    assert np.load(folder / "0.npy").tolist() == [0, 1, 2]
    np.save(folder / "0.npy", np.arange(3)[::-1])
    os.utime(folder / "0.npy", (0, 0))
    folder, _ = cache.entry(["a"], 10, make)
    assert np.load(folder / "0.npy").tolist() == [0, 1, 2]


def test_where_running_commands_use_the_whole_store_a_set_is_there_until_the_command_ends(monkeypatch, own_cache):
    monkeypatch.setenv("BITPICK_CACHE_LIMIT", "1500")
    folder, _ = entry("a")
    other, value = entry("b")
    assert value == {"made": "b"}
    assert (other / "a.bin").stat().st_size == 1000
    assert other.parent == own_cache / "artifacts"
    assert folder.exists()
    used_by_nobody(folder)
    assert entry("c")[0].parent.parent == own_cache / "artifacts"
    assert not folder.exists()


END = """
from bitpick.artifacts.temporary import root
from bitpick.datasets import cache
def make(folder):
    (folder / "a.bin").write_bytes(bytes(1000))
    return {}
for key in "ab":
    print(cache.entry([key], 1000, make)[0])
"""


def test_it_is_gone_when_the_command_ends(own_cache):
    environment = os.environ | {"BITPICK_CACHE": str(own_cache), "BITPICK_CACHE_LIMIT": "1500"}
    ended = subprocess.run([sys.executable, "-c", END], capture_output=True, text=True, env=environment, check=True)
    kept, temporary = map(Path, ended.stdout.split())
    assert kept.exists()
    assert not temporary.exists()


def test_where_the_store_cannot_be_written_a_set_is_in_the_temporary_folder(own_cache):
    own_cache.write_text("a file in its place")
    folder, value = entry("a")
    assert value == {"made": "a"}
    assert folder.is_relative_to(root())
    assert (folder / "a.bin").stat().st_size == 1000


def test_a_disk_that_is_full_is_told(own_cache):
    def make(folder):
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "a.npy"))

    with pytest.raises(DataError, match=r"cannot be written in .*: No space left") as error:
        cache.entry(["a"], 1, make)
    assert "BITPICK_CACHE" in error.value.fix


def test_a_source_that_changes_while_it_is_read_is_an_error_and_nothing_is_kept(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("old")
    sources = cache.Sources([path])

    def make(folder):
        (folder / "copy").write_text(path.read_text())
        before = path.stat()
        path.write_text("new")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return {}

    with pytest.raises(DataError, match=r"data\.csv changed while it was being read"):
        cache.entry(["a", sources.state], 0, make, sources)
    again = cache.Sources([path])
    folder, _ = cache.entry(["a", again.state], 0, lambda folder: shutil.copy(path, folder) and {}, again)
    assert (folder / "data.csv").read_text() == "new"


def test_a_source_that_is_gone_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"gone\.csv cannot be read: No such file"):
        cache.Sources([tmp_path / "gone.csv"])


def test_a_set_larger_than_the_limit_says_how_to_mend_it(monkeypatch):
    monkeypatch.setenv("BITPICK_CACHE_LIMIT", "1 kB")
    with pytest.raises(DataError) as error:
        entry("a", 5000)
    assert str(error.value) == (
        "the decoded data set has 0.0 MB and the cache may have 0.0 MB\n"
        "to fix it: set BITPICK_CACHE_LIMIT to 1 GB, or give smaller or fewer samples"
    )


def test_a_digest_is_computed_once_for_each_state_of_a_file(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(3))
    first = cache.digest(path)
    assert cache.digest(path) == first
    np.save(path, np.arange(4))
    assert cache.digest(path) != first
