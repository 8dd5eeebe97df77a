from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time

import pytest

from bitpick.artifacts import locks
from bitpick.artifacts.locks import Owners, lock

HOLDS = """
import sys
from pathlib import Path
from bitpick.artifacts.locks import lock
held = lock(Path(sys.argv[1]))
held.note("first")
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_lock_is_held_once_and_free_again_after_its_release(tmp_path):
    first = lock(tmp_path / "l")
    assert first is not None
    first.note("long text")
    first.note("text")
    assert (tmp_path / "l").read_text() == "text"
    assert lock(tmp_path / "l") is None
    first.release()
    assert not (tmp_path / "l").exists()
    again = lock(tmp_path / "l")
    assert again is not None
    again.release()


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path):
    command = [sys.executable, "-c", HOLDS, str(tmp_path / "l")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    assert lock(tmp_path / "l") is None
    process.kill()
    process.communicate()
    assert (tmp_path / "l").read_text() == "first"
    again = lock(tmp_path / "l")
    assert again is not None
    again.release()


def test_a_fork_has_a_name_of_its_own(tmp_path):
    owners = Owners(tmp_path / "owners")
    mine = owners.me
    assert owners.me == mine
    child = os.fork()
    if child == 0:
        os._exit(0 if owners.me != mine and owners.lives(mine) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert owners.lives(mine)
    owners.leave()
    assert not owners.lives(mine)


def test_a_name_whose_file_is_gone_is_given_up(tmp_path):
    owners = Owners(tmp_path)
    first = owners.me
    (tmp_path / first).unlink()
    assert owners.me != first


def test_files_of_processes_that_ended_go_when_another_one_comes(tmp_path):
    (tmp_path / "a0").touch()
    (tmp_path / "b1").touch()
    assert {each.name for each in tmp_path.iterdir()} > {"a0"}
    me = Owners(tmp_path).me
    assert [each.name for each in tmp_path.iterdir()] == [me]


@pytest.mark.parametrize(("age", "lives"), [(3600, True), (25 * 3600, False)])
def test_without_locks_an_owner_lives_for_a_day(tmp_path, monkeypatch, age, lives):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    held = lock(tmp_path / "a0")
    assert held is not None
    os.utime(tmp_path / "a0", (time.time() - age,) * 2)
    assert Owners(tmp_path).lives("a0") == lives
    assert locks.Owners(tmp_path).me
