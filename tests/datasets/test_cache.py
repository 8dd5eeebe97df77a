from __future__ import annotations

import os

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


def test_what_a_living_process_uses_stays(monkeypatch):
    monkeypatch.setenv("BITPICK_CACHE_LIMIT", "1500")
    folder, _ = entry("a")
    with pytest.raises(DataError, match="other running commands use") as error:
        entry("b")
    assert "BITPICK_CACHE_LIMIT" in error.value.fix
    used_by_nobody(folder)
    entry("b")
    assert not folder.exists()


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
