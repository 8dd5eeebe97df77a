from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bitpick.artifacts.marks import OWNERS, Marks

OTHER = """
import sys
from pathlib import Path
from bitpick.artifacts.marks import Marks
print(Marks(Path(sys.argv[1])).owners.me, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "entry").mkdir()
    return tmp_path / "entry"


@pytest.fixture
def marks(tmp_path) -> Marks:
    return Marks(tmp_path)


@pytest.fixture
def other(tmp_path) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the store."""
    command = [sys.executable, "-c", OTHER, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def ended(other) -> str:
    """The name of a process that was killed."""
    name = other.stdout.readline().strip()
    other.kill()
    other.wait()
    return name


@pytest.fixture
def alive(other) -> str:
    """The name of a process that lives."""
    return other.stdout.readline().strip()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_mark_is_new_once_and_stays_until_it_is_taken_back(folder, marks):
    assert not marks.marked(folder)
    assert marks.mark(folder)
    assert not marks.mark(folder)
    assert marks.marked(folder)
    marks.unmark(folder)
    marks.unmark(folder)
    assert names(folder) == []


def test_marks_of_processes_that_ended_count_nothing_and_go(folder, marks, ended, tmp_path):
    (folder / f"used-by-{ended}").touch()
    assert not marks.marked(folder)
    assert ended not in names(tmp_path / OWNERS)
    marks.mark(folder)
    assert names(folder) == [f"used-by-{marks.owners.me}"]


def test_marks_of_processes_that_live_count_whatever_their_ids(folder, marks, alive):
    (folder / f"used-by-{alive}").touch()
    assert marks.marked(folder)
    marks.mark(folder)
    assert names(folder) == sorted([f"used-by-{alive}", f"used-by-{marks.owners.me}"])


@pytest.mark.parametrize("name", ["1@elsewhere", "x", "", "../entry"])
def test_a_mark_of_nobody_counts_nothing(folder, marks, name):
    assert not marks.owners.lives(name)
    if "/" not in name:
        (folder / f"used-by-{name}").touch()
        assert not marks.marked(folder)


def test_an_entry_is_claimed_if_nobody_uses_it(folder, marks, ended):
    (folder / f"used-by-{ended}").touch()
    assert not marks.claimed(folder)
    assert marks.claim(folder)
    assert marks.claimed(folder)


def test_what_is_used_is_not_claimed_and_no_claim_is_left(folder, marks, alive):
    (folder / f"used-by-{alive}").touch()
    assert not marks.claim(folder)
    assert not marks.claimed(folder)


def test_the_claim_of_a_process_that_ended_is_none(folder, marks, ended):
    (folder / f"removed-by-{ended}").touch()
    assert not marks.claimed(folder)


def test_an_entry_that_is_gone_cannot_be_marked_or_claimed_and_nobody_uses_it(tmp_path, marks):
    refused: tuple[Callable[[Path], bool], ...] = (marks.mark, marks.claim)
    for each in refused:
        with pytest.raises(OSError, match="No such file"):
            each(tmp_path / "gone")
    assert not marks.marked(tmp_path / "gone")
