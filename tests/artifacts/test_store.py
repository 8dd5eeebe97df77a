from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bitpick.artifacts.cache import cache_root
from bitpick.artifacts.marks import OWNERS
from bitpick.artifacts.store import NoRoom, Store, key_of


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store", 10**9)


def writes(content: bytes, value=None):
    def make(folder: Path):
        (folder / "deep").mkdir()
        (folder / "deep" / "a.bin").write_bytes(content)
        return value

    return make


def used_by_nobody(folder: Path) -> None:
    for mark in folder.glob("used-by-*"):
        mark.unlink()


def entries(store: Store) -> list[Path]:
    """What lies in a store, without the locks of those who use it."""
    return [each for each in store.folder.iterdir() if each.name != OWNERS]


def never(folder: Path):
    raise AssertionError("it is there")


def test_an_entry_is_made_once(store):
    made = store.make(key_of(["a", 1]), writes(b"x", {"number": 1}))
    again = store.make(key_of(["a", 1]), never)
    other = store.make(key_of(["a", 2]), writes(b"y"))
    assert again == made
    assert made.value == {"number": 1}
    assert (made.folder / "deep" / "a.bin").read_bytes() == b"x"
    assert other.folder != made.folder
    assert store.get(key_of(["a", 3])) is None


def test_keys_do_not_depend_on_the_order_of_fields():
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": "1"})


def test_what_fails_half_way_leaves_nothing(store):
    def breaks(folder):
        (folder / "half").write_text("x")
        raise ArithmeticError("broken")

    with pytest.raises(ArithmeticError):
        store.make("a", breaks)
    assert entries(store) == []


def flipped(path: Path, byte: int = 0) -> None:
    """One bit, with the times that the file had."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[byte] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def foreign(folder: Path) -> None:
    """What another entry of the same store holds."""
    other = Store(folder.parents[1], 10**9).make("other", writes(b"y", 7)).folder
    shutil.rmtree(folder)
    shutil.copytree(other, folder)


def in_its_place(folder: Path) -> None:
    """A file that has the name of the entry's key."""
    shutil.rmtree(folder.parent)
    folder.parent.write_text("x")


DAMAGES = {
    "half a note": lambda folder: (folder / "artifact.json").write_text('{"val'),
    "another note": lambda folder: (folder / "artifact.json").write_text("[]"),
    "another value": lambda folder: edited(folder / "artifact.json"),
    "a bit of the note": lambda folder: flipped(folder / "artifact.json", 75),
    "an empty note": lambda folder: (folder / "artifact.json").write_text(""),
    "no note": lambda folder: (folder / "artifact.json").unlink(),
    "a note without rights": lambda folder: (folder / "artifact.json").chmod(0),
    "a file is gone": lambda folder: (folder / "deep" / "a.bin").unlink(),
    "a file is longer": lambda folder: (folder / "deep" / "a.bin").write_bytes(b"longer"),
    "a file is empty": lambda folder: (folder / "deep" / "a.bin").write_bytes(b""),
    "a file is a folder": lambda folder: ((folder / "deep" / "a.bin").unlink(), (folder / "deep" / "a.bin").mkdir()),
    "a folder is gone": lambda folder: shutil.rmtree(folder / "deep"),
    "one bit": lambda folder: flipped(folder / "deep" / "a.bin"),
    "one more file": lambda folder: (folder / "deep" / "more").touch(),
    "another entry": foreign,
    "a file in its place": in_its_place,
    "nothing": lambda folder: shutil.rmtree(folder.parent),
}


def edited(note: Path) -> None:
    note.write_text(json.dumps(json.loads(note.read_text()) | {"value": 3}))


@pytest.mark.parametrize("looked_at", [False, True])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_an_entry_that_does_not_hold_is_never_believed_and_made_again(store, damage, looked_at):
    made = store.make("a", writes(b"x", 1))
    assert store.get("a") == made
    if not looked_at:
        (made.folder / "stamps.json").unlink(missing_ok=True)
    damage(made.folder)
    used_by_nobody(made.folder)
    note = made.folder / "artifact.json"
    without_rights = note.exists() and note.stat().st_mode & 0o777 == 0
    if not (without_rights and os.access(note, os.R_OK)):  # root reads it nevertheless
        assert store.get("a") is None
        again = store.make("a", writes(b"x", 2))
        assert again.value == 2
    assert (store.make("a", never).folder / "deep" / "a.bin").read_bytes() == b"x"
    assert len(list((store.folder / "a").iterdir())) == 1


def test_stamps_that_are_no_json_cost_a_look_and_no_entry(store):
    made = store.make("a", writes(b"x", 1))
    (made.folder / "stamps.json").write_text("{")
    assert store.make("a", never) == made


def test_a_store_that_was_copied_holds(store, tmp_path):
    store.make("a", writes(b"x", 1))
    subprocess.run(["cp", "-r", store.folder, tmp_path / "copy"], check=True)
    assert Store(tmp_path / "copy", 10**9).make("a", never).value == 1


def test_an_entry_is_on_the_disk_before_it_is_seen(store, monkeypatch):
    told = []
    fsync, rename = os.fsync, Path.rename
    monkeypatch.setattr(
        os, "fsync", lambda file: told.append(Path(f"/proc/self/fd/{file}").readlink().name) or fsync(file)
    )
    monkeypatch.setattr(Path, "rename", lambda path, to: told.append("rename") or rename(path, to))
    store.make("a", writes(b"x", 1))
    moved = told.index("rename")
    assert {"a.bin", "deep", "artifact.json"} <= set(told[:moved])


def test_the_one_not_used_for_longest_makes_room(tmp_path):
    store = Store(tmp_path, 4000)
    made = {name: store.make(name, writes(bytes(1000))).folder for name in "abc"}
    for age, name in enumerate("cba"):
        used_by_nobody(made[name])
        os.utime(made[name], (1000 - age, 1000 - age))
    store.get("a")  # used again: now b is the oldest
    used_by_nobody(made["a"])
    store.make("d", writes(bytes(1000)))
    assert [made[name].exists() for name in "abc"] == [True, False, True]


def test_what_a_living_process_uses_stays(tmp_path):
    store = Store(tmp_path, 1800)
    first = store.make("a", writes(bytes(1000))).folder
    with pytest.raises(NoRoom) as error:
        store.make("b", writes(bytes(1000)), 1000)
    assert error.value.used > 1000
    assert store.clear() == 0
    used_by_nobody(first)
    (first / "used-by-0a").touch()  # of a process that ended
    store.make("b", writes(bytes(1000)), 1000)
    assert not first.exists()


def test_more_than_the_limit_is_refused(tmp_path):
    with pytest.raises(NoRoom) as error:
        Store(tmp_path, 100).make("a", never, 200)
    assert (error.value.size, error.value.limit) == (200, 100)


def test_it_says_how_much_there_is_and_forgets_it(store):
    assert store.usage().artifacts == 0
    for name in "ab":
        used_by_nobody(store.make(name, writes(bytes(5000))).folder)
    (store.folder / "partial-0a-x").mkdir()  # of a process that was killed
    used = store.usage()
    assert (used.artifacts, used.limit) == (2, 10**9)
    assert 10_000 < used.bytes < 12_000
    assert store.clear() == used.bytes
    assert entries(store) == []


def test_what_killed_processes_left_is_swept(store):
    store.make("a", writes(b"x"))
    for name in ("partial-0a-x", "gone-0a-1"):
        (store.folder / name).mkdir()
    with store.scratch() as mine:
        store.sweep()
        assert mine.exists()
        assert sorted(each.name for each in entries(store)) == sorted(["a", mine.name])


WORKER = """
import json, os, random, sys
from pathlib import Path
from bitpick.artifacts.marks import OWNERS
from bitpick.artifacts.store import NoRoom, Store
folder, number = Path(sys.argv[1]), int(sys.argv[2])
store, chance, made = Store(folder, 6000), random.Random(number), 0
for turn in range(60):
    name = chance.choice("abcdefgh")
    def make(place):
        global made
        made += 1
        (place / "x.bin").write_bytes(name.encode() * 1000)
        return name
    try:
        found = store.make(name, make, 1000 if turn % 2 else 0)
        assert found.value == name
        assert (found.folder / "x.bin").read_bytes() == name.encode() * 1000
        store._marks.unmark(found.folder)  # this process does not need it any more
    except NoRoom:
        pass
print(json.dumps(made))
"""


def test_eight_processes_share_one_store(tmp_path):
    """Each makes, finds, checks and removes entries, in a store that has no room for all."""

    def run(number: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", WORKER, str(tmp_path / "store"), str(number)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(run, range(8)))
    assert [each.stderr for each in done if each.returncode] == []
    assert sum(json.loads(each.stdout) for each in done) > 8
    kept = Store(tmp_path / "store", 6000)
    assert kept.usage().bytes <= 8000
    kept.clear()
    assert entries(kept) == []


def test_eight_processes_that_want_the_same_get_the_same(tmp_path):
    code = (
        "import sys; from pathlib import Path; from bitpick.artifacts.store import Store\n"
        "def make(folder): (folder / 'a').write_text('x' * 10**6); return 'made'\n"
        "found = Store(Path(sys.argv[1]), 10**9).make('k', make)\n"
        "print(found.folder, (found.folder / 'a').stat().st_size)"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    told = {each.communicate(timeout=60)[0] for each in processes}
    assert {line.split()[1] for line in told} == {"1000000"}
    assert [each.name for each in entries(Store(tmp_path, 10**9))] == ["k"]


def test_where_it_is_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv("BITPICK_STORE", raising=False)
    monkeypatch.setenv("BITPICK_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    assert Store.default().folder == tmp_path / "artifacts"
    monkeypatch.setenv("BITPICK_STORE", str(tmp_path / "shared"))
    assert Store.default().folder == tmp_path / "shared"


def test_a_store_is_measured_again_only_when_much_was_added(tmp_path, monkeypatch):
    measured = []
    measure = Store.make_room
    monkeypatch.setattr(Store, "make_room", lambda self, size: (measured.append(size), measure(self, size)))
    for number in range(20):  # a store of its own each time, as `Store.default` gives it
        Store(tmp_path, 10**6).make(key_of(number), writes(bytes(1000)), 1000)
    assert 2 <= len(measured) <= 4  # at first, and after each hundredth of the limit
