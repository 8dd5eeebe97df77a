from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bitpick.artifacts import marks

DAY = 24 * 3600


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "entry").mkdir()
    return tmp_path / "entry"


def here() -> str:
    return marks.owner().partition("@")[2]


@pytest.fixture(scope="module")
def ended() -> str:
    """A process of this machine that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return f"{process.pid}@{here()}"


@pytest.fixture
def other():
    """Another process of this machine."""
    process = subprocess.Popen(["sleep", "60"])
    yield f"{process.pid}@{here()}"
    process.kill()
    process.wait()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_mark_is_new_once_and_stays_until_it_is_taken_back(folder):
    assert not marks.marked(folder)
    assert marks.mark(folder)
    assert not marks.mark(folder)
    assert marks.marked(folder)
    marks.unmark(folder)
    marks.unmark(folder)
    assert names(folder) == []


def test_marks_of_processes_that_ended_count_nothing_and_go(folder, ended, other):
    (folder / f"used-by-{ended}").touch()
    assert not marks.marked(folder)
    (folder / f"used-by-{other}").touch()
    assert marks.marked(folder)
    marks.mark(folder)
    assert names(folder) == sorted([f"used-by-{other}", f"used-by-{marks.owner()}"])


def test_a_mark_of_another_machine_counts_for_a_day(folder):
    path = folder / "used-by-1@elsewhere"
    path.touch()
    for age, counts in ((0, True), (DAY - 60, True), (DAY + 60, False)):
        os.utime(path, (time.time() - age,) * 2)
        assert marks.marked(folder) == counts


def test_a_mark_of_nobody_counts_nothing(folder):
    (folder / f"used-by-x@{here()}").touch()
    assert not marks.marked(folder)


def test_an_entry_is_claimed_if_nobody_uses_it(folder, ended):
    (folder / f"used-by-{ended}").touch()
    assert not marks.claimed(folder)
    assert marks.claim(folder)
    assert marks.claimed(folder)


def test_what_is_used_is_not_claimed_and_no_claim_is_left(folder, other):
    (folder / f"used-by-{other}").touch()
    assert not marks.claim(folder)
    assert not marks.claimed(folder)


def test_the_claim_of_a_process_that_ended_is_none(folder, ended):
    (folder / f"removed-by-{ended}").touch()
    assert not marks.claimed(folder)


def test_an_entry_that_is_gone_cannot_be_marked_or_claimed_and_nobody_uses_it(tmp_path):
    for refused in (marks.mark, marks.claim):
        with pytest.raises(OSError, match="No such file"):
            refused(tmp_path / "gone")
    assert not marks.marked(tmp_path / "gone")
