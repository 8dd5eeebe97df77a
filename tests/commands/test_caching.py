from __future__ import annotations

import json
from pathlib import Path

import pytest

from bitpick.artifacts.marks import OWNERS
from bitpick.artifacts.store import Store
from tests.commands.command import bitpick


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A working directory, beside a cache that has nothing in it."""
    monkeypatch.delenv("BITPICK_STORE")
    monkeypatch.delenv("BITPICK_CACHE_LIMIT", raising=False)
    monkeypatch.setenv("BITPICK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def kept(place: Path, name: str, size: int, used: bool = False) -> None:
    """Something in the store, which this process may be using."""

    def make(folder: Path) -> None:
        (folder / "x.bin").write_bytes(bytes(size))

    store = Store(place.parent / "cache" / "artifacts", 10**9)
    folder = store.make(name, make).folder
    for mark in folder.glob("used-by-*"):
        if not used:
            mark.unlink()


def left(place: Path) -> list[str]:
    """What is in the store, apart from the locks of those who use it."""
    return [each.name for each in (place.parent / "cache" / "artifacts").iterdir() if each.name != OWNERS]


def test_it_says_where_it_is_how_much_there_is_and_how_much_there_may_be(place):
    folder = place.parent / "cache" / "artifacts"
    empty = bitpick(place, "cache")
    assert empty.returncode == 0, empty.stderr
    assert empty.stdout == f"{folder}: 0 artifacts, 0.0 MB of 20 GB (BITPICK_CACHE_LIMIT)\n"
    assert not folder.exists()
    kept(place, "a", 3_000_000)
    kept(place, "b", 200_000)
    assert bitpick(place, "cache", "info").stdout == (f"{folder}: 2 artifacts, 3.2 MB of 20 GB (BITPICK_CACHE_LIMIT)\n")


def test_to_look_removes_nothing_and_json_is_in_bytes(place, monkeypatch):
    monkeypatch.setenv("BITPICK_CACHE_LIMIT", "1.5 GB")
    kept(place, "a", 3_000_000)
    told = json.loads(bitpick(place, "cache", "--json").stdout)
    assert told.keys() == {"folder", "artifacts", "bytes", "limit"}
    assert (told["folder"], told["artifacts"], told["limit"]) == (
        str(place.parent / "cache" / "artifacts"), 1, 1_500_000_000,
    )  # fmt: skip
    assert 3_000_000 < told["bytes"] < 3_010_000
    assert json.loads(bitpick(place, "cache", "--json").stdout) == told


def test_clear_removes_all_and_says_how_much_that_was(place):
    kept(place, "a", 3_000_000)
    done = bitpick(place, "cache", "clear")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "removed 3.0 MB"
    assert "0 artifacts, 0.0 MB" in second
    assert left(place) == []


def test_clear_leaves_what_another_command_uses(place):
    kept(place, "a", 3_000_000)
    kept(place, "b", 200_000, used=True)
    told = json.loads(bitpick(place, "cache", "clear", "--json").stdout)
    assert told["artifacts"] == 1
    assert 3_000_000 < told["freed"] < 3_010_000
    assert 200_000 < told["bytes"] < 210_000


def test_another_action_is_refused_with_what_may_be_meant(place):
    kept(place, "a", 1000)
    done = bitpick(place, "cache", "claer")
    assert done.returncode == 2
    assert "there is no action 'claer'" in done.stderr
    assert "did you mean clear?" in done.stderr
    assert done.stdout == ""
    assert "1 artifact," in bitpick(place, "cache").stdout


def test_a_limit_that_is_no_size_is_a_wrong_request_and_removes_nothing(place, monkeypatch):
    kept(place, "a", 1000)
    monkeypatch.setenv("BITPICK_CACHE_LIMIT", "much")
    for action in ("info", "clear"):
        done = bitpick(place, "cache", action)
        assert done.returncode == 2
        assert "BITPICK_CACHE_LIMIT is 'much', which is no size" in done.stderr
    assert left(place) == ["a"]
