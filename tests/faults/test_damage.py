"""Damage to what a run and the store keep: none of it is believed, and none of it stays."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitpick.artifacts.store import Store
from tests.faults.conftest import Disturbed, leftovers, outcome


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[len(content) // 2] ^= 1
    path.write_bytes(content)


def foreign(path: Path) -> None:
    path.write_bytes(bytes(reversed(path.read_bytes())))


def removed(path: Path) -> None:
    path.unlink()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: list[Callable[[Path], None]] = [emptied, halved, flipped, foreign, removed, a_folder]


@pytest.fixture
def whole(disturbed: Disturbed, undisturbed) -> Disturbed:
    """A comparison that nothing disturbed yet."""
    disturbed.anew()
    assert disturbed.compare().returncode == 0
    return disturbed


def is_as_it_was(disturbed: Disturbed, undisturbed) -> bool:
    """Whether the comparison, run again, is the undisturbed one; shows what it said otherwise."""
    done = disturbed.compare()
    assert done.returncode == 0, done.stderr
    return outcome(disturbed.run) == undisturbed and leftovers(disturbed.place) == []


@pytest.mark.parametrize("damage", DAMAGES[:-1], ids=lambda each: each.__name__)
def test_files_of_a_run_are_made_again(whole, undisturbed, damage):
    for folder in ("builds", "forms"):
        for path in [each for each in sorted((whole.run / folder).rglob("*")) if each.is_file()]:
            damage(path)
    assert is_as_it_was(whole, undisturbed)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda each: each.__name__)
def test_entries_of_the_store_are_made_again(whole, undisturbed, damage):
    kept = [path for path in sorted(whole.store.rglob("*")) if path.is_file() and path.parent.name != ".owners"]
    assert len(kept) > 20
    for path in kept:
        damage(path)
    shutil.rmtree(whole.run)
    assert is_as_it_was(whole, undisturbed)
    store = Store(whole.store, 10**9)
    for entry in list(whole.store.glob("*/*")):  # also what this comparison did not ask for
        store.get(entry.parent.name)
    entries = [entry for entry in whole.store.glob("*/*") if entry.parent.name != ".owners"]
    assert len(entries) > 10
    assert all(json.loads((entry / "artifact.json").read_text())["key"] == entry.parent.name for entry in entries)


def test_entries_of_the_store_that_changed_places_are_not_believed(whole, undisturbed):
    keys = sorted(each for each in whole.store.iterdir() if each.name != ".owners")
    for number, key in enumerate(keys):
        key.rename(key.with_name(f"moved-{number}"))
    for number in range(len(keys)):
        (whole.store / f"moved-{number}").rename(keys[(number + 1) % len(keys)])
    shutil.rmtree(whole.run)
    assert is_as_it_was(whole, undisturbed)


@pytest.mark.parametrize("name", ["correct", "value", "size_bytes", "drop", "id"])
def test_what_was_changed_in_the_record_does_not_survive(whole, undisturbed, name):
    record = json.loads((whole.run / "run.json").read_text())

    def change(part: object) -> None:
        for key, value in part.items() if isinstance(part, dict) else enumerate(part if isinstance(part, list) else []):
            if key == name and isinstance(value, (int, float)):
                part[key] = type(value)(value * 0.9)
            change(value)

    change(record["rows"])
    if name == "id":
        record["rows"] = record["rows"][:1]
    (whole.run / "run.json").write_text(json.dumps(record, indent=1) + "\n")
    assert is_as_it_was(whole, undisturbed)


@pytest.mark.parametrize(
    "content", [b"", b'{"schema_version": 1, "rows": [{', b"\xff\xfe"], ids=["empty", "half", "odd"]
)
def test_a_record_that_was_cut_off_is_written_again(whole, undisturbed, content):
    (whole.run / "run.json").write_bytes(content)
    assert is_as_it_was(whole, undisturbed)


def test_other_data_of_the_same_size_and_times_is_not_taken_for_it(whole, undisturbed):
    """The pixels of the evaluation set are inverted in place, and the file has the times that it had."""
    before, arrays = whole.data.stat(), dict(np.load(whole.data))
    kept = whole.data.read_bytes()
    np.savez(whole.data, **(arrays | {"test_image": 255 - arrays["test_image"]}))
    assert whole.data.stat().st_size == before.st_size
    os.utime(whole.data, ns=(before.st_atime_ns, before.st_mtime_ns))
    try:
        shutil.rmtree(whole.run)
        other = whole.compare()
        told = json.loads((whole.run / "run.json").read_text()) if (whole.run / "run.json").exists() else {}
    finally:
        whole.data.write_bytes(kept)
    assert other.returncode == 2  # the float model makes no sense of it
    assert "float model" in other.stderr
    assert told == {}
    assert is_as_it_was(whole, undisturbed)
