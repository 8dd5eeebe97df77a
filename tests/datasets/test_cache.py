from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

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


def test_what_fails_half_way_leaves_nothing(own_cache):
    def breaks(folder):
        (folder / "half").write_text("x")
        raise DataError("broken")

    with pytest.raises(DataError, match="broken"):
        cache.entry(["a"], 10, breaks)
    assert list((own_cache / "data").iterdir()) == []
    assert entry("a")[1] == {"made": "a"}


def test_an_entry_that_is_not_whole_is_made_again():
    folder, _ = entry("a")
    (folder / "entry.json").write_text('{"ma')
    assert entry("a") == (folder, {"made": "a"})


def test_an_entry_that_was_edited_is_made_again():
    def make(folder):
        np.save(folder / "0.npy", np.arange(3))
        return {}

    folder, _ = cache.entry(["a"], 10, make)
    np.save(folder / "0.npy", np.arange(4))
    cache.entry(["a"], 10, make)
    assert np.load(folder / "0.npy").tolist() == [0, 1, 2]
    np.save(folder / "0.npy", np.arange(3)[::-1])
    os.utime(folder / "0.npy", (0, 0))
    cache.entry(["a"], 10, make)
    assert np.load(folder / "0.npy").tolist() == [0, 1, 2]


def test_the_one_not_used_for_longest_makes_room(monkeypatch):
    monkeypatch.setenv("BITPICK_CACHE_LIMIT", "3500")
    folders = {name: entry(name)[0] for name in "abc"}
    for age, name in enumerate("cba"):
        used_by_nobody(folders[name])
        os.utime(folders[name], (1000 - age, 1000 - age))
    entry("a")  # used again: now b is the oldest
    used_by_nobody(folders["a"])
    entry("d")
    assert [folders[name].exists() for name in "abc"] == [True, False, True]


def test_what_a_living_process_uses_stays(monkeypatch):
    monkeypatch.setenv("BITPICK_CACHE_LIMIT", "1500")
    folder, _ = entry("a")
    with pytest.raises(DataError, match="other running commands use") as error:
        entry("b")
    assert "BITPICK_CACHE_LIMIT" in error.value.mend
    used_by_nobody(folder)
    (folder / f"used-by-{ended_process()}").touch()
    entry("b")
    assert not folder.exists()


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_set_larger_than_the_limit_says_how_to_mend_it(monkeypatch):
    monkeypatch.setenv("BITPICK_CACHE_LIMIT", "1 kB")
    with pytest.raises(DataError) as error:
        entry("a", 5000)
    assert str(error.value) == (
        "the decoded data set has 0.0 MB and the cache may have 0.0 MB\n"
        "to fix it: set BITPICK_CACHE_LIMIT to 1 GB, or give smaller or fewer samples"
    )


@pytest.mark.parametrize(("text", "size"), [("20 GB", 20e9), ("500MB", 5e8), ("1.5 g", 1.5e9), ("12", 12)])
def test_limits_are_sizes(monkeypatch, text, size):
    monkeypatch.setenv("BITPICK_CACHE_LIMIT", text)
    assert cache.limit() == size


def test_a_limit_that_is_none(monkeypatch):
    monkeypatch.setenv("BITPICK_CACHE_LIMIT", "much")
    with pytest.raises(DataError, match="'much', which is no size"):
        cache.limit()


def test_a_digest_is_computed_once_for_each_state_of_a_file(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(3))
    first = cache.digest(path)
    assert cache.digest(path) == first
    np.save(path, np.arange(4))
    assert cache.digest(path) != first
