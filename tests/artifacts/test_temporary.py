from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from bitpick.artifacts import temporary

MAKES = """
import os, sys
from bitpick.artifacts import temporary
print(temporary.new_folder("x"), flush=True)
if "wait" in sys.argv:
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A temporary folder of the system."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(temporary, "_roots", {})
    return tmp_path


def start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", MAKES, *words]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_it_is_gone_when_its_process_ends(place):
    process = start()
    made = Path(process.communicate()[0].strip())
    assert process.returncode == 0
    assert made.parent.parent == place
    assert list(place.iterdir()) == []


def test_what_a_killed_process_left_goes_when_another_one_starts_and_what_living_ones_have_stays(place):
    killed, living = start("wait"), start("wait")
    left, used = (Path(each.stdout.readline().strip()) for each in (killed, living))
    killed.kill()
    killed.communicate()
    assert left.exists()
    mine = temporary.root()
    assert not left.parent.exists()
    assert used.exists()
    assert mine.stat().st_mode & 0o777 == 0o700
    living.communicate("")
    assert list(place.iterdir()) == [mine]


@pytest.mark.parametrize(
    ("name", "hours", "stays"),
    [
        ("bitpick-old", 25, False),
        ("bitpick-just-made", 0, True),
        ("bitpick-logs-x", 100, True),
        ("bitpick-logs-y", 200, False),
        ("someone-else", 10_000, True),
    ],
)
def test_what_has_no_lock_goes_by_its_age(place, name, hours, stays):
    (place / name / "deep").mkdir(parents=True)
    os.utime(place / name, (time.time() - hours * 3600,) * 2)
    temporary.root()
    assert (place / name).exists() == stays


def test_links_are_not_followed(place, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (place / "bitpick-link").symlink_to(other)
    os.utime(place / "bitpick-link", (0, 0), follow_symlinks=False)
    temporary.root()
    assert other.exists()


def test_a_folder_is_kept_under_another_name_until_the_end(place):
    made = temporary.new_folder("x")
    (made / "a").touch()
    kept = temporary.keep(made)
    assert kept != made
    assert (kept / "a").exists()
    temporary._end(os.getpid())
    assert list(place.iterdir()) == []


def test_a_fork_leaves_the_folder_of_its_parent_alone(place):
    mine = temporary.root()
    child = os.fork()
    if child == 0:
        other = temporary.root()
        temporary._end(os.getpid())
        os._exit(0 if other != mine and mine.exists() and not other.exists() else 1)
    assert os.waitpid(child, 0)[1] == 0
    with temporary.folder("x") as made:
        assert made.parent == mine
    assert not made.exists()
