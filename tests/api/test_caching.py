from __future__ import annotations

from pathlib import Path

import pytest

from bitpick import api
from bitpick.artifacts.marks import OWNERS
from bitpick.artifacts.store import Store
from bitpick.errors import RequestError


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("BITPICK_STORE")
    monkeypatch.setenv("BITPICK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def unused(name: str) -> None:
    """An entry of the store that nobody uses any more."""
    folder = Store.default().make(name, lambda folder: (folder / "x").write_bytes(bytes(5000))).folder
    for mark in folder.glob("used-by-*"):
        mark.unlink()


def test_what_was_removed_is_what_there_was(cache):
    unused("a")
    unused("b")
    before = api.cache_usage()
    assert (before.folder, before.artifacts) == (cache / "artifacts", 2)
    assert before.bytes > 10_000
    assert api.clear_cache() == before.bytes
    assert (api.cache_usage().artifacts, api.cache_usage().bytes) == (0, 0)
    assert api.clear_cache() == 0


def test_what_earlier_versions_decoded_goes_and_downloads_stay(cache):
    for name in ("data", "cifar10"):
        (cache / name).mkdir(parents=True)
        (cache / name / "file").write_text("x")
    api.clear_cache()
    assert [path.name for path in cache.iterdir()] == ["cifar10"]


def test_a_store_elsewhere_is_cleared_there(cache, tmp_path, monkeypatch):
    unused("a")
    monkeypatch.setenv("BITPICK_STORE", str(tmp_path / "shared"))
    unused("b")
    api.clear_cache()
    assert [path.name for path in (tmp_path / "shared").iterdir()] == [OWNERS]
    assert sorted(path.name for path in (cache / "artifacts").iterdir()) == [OWNERS, "a"]


def test_a_limit_that_is_no_size_is_refused(cache, monkeypatch):
    monkeypatch.setenv("BITPICK_CACHE_LIMIT", "-1 GB")
    for asked in (api.cache_usage, api.clear_cache):
        with pytest.raises(RequestError, match="BITPICK_CACHE_LIMIT is '-1 GB', which is no size"):
            asked()
