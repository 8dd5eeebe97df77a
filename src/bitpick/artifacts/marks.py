"""Track which running commands use a store entry: each leaves a file in it, named after its process."""

from __future__ import annotations

import os
import re
import socket
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

_MARK, _CLAIM = "used-by-", "removed-by-"
_FOREIGN = 24 * 3600  # seconds that a mark from another machine counts: its process cannot be checked


def mark(folder: Path) -> bool:
    """Mark an entry as used by this process; return whether the mark is new.

    Raises:
        OSError: the entry does not exist.
    """
    own = folder / f"{_MARK}{owner()}"
    if own.exists():
        return False
    for each in folder.glob(f"{_MARK}*"):
        if not lives(each, each.name.removeprefix(_MARK)):
            each.unlink(missing_ok=True)
    own.touch()
    return True


def unmark(folder: Path) -> None:
    """Remove this process's mark from an entry."""
    (folder / f"{_MARK}{owner()}").unlink(missing_ok=True)


def marked(folder: Path) -> bool:
    """Whether a running command uses an entry."""
    try:
        return any(lives(each, each.name.removeprefix(_MARK)) for each in folder.glob(f"{_MARK}*"))
    except OSError:  # the entry is gone
        return False


def claim(folder: Path) -> bool:
    """Claim an entry for removal by this process; return whether it may remove it.

    A command that uses an entry marks it, then looks for claims; a command that removes an entry claims it, then looks
    for marks. Whatever the order, at least one of them sees the other.

    Raises:
        OSError: the entry does not exist.
    """
    own = folder / f"{_CLAIM}{owner()}"
    own.touch()
    if not marked(folder):
        return True
    own.unlink(missing_ok=True)
    return False


def claimed(folder: Path) -> bool:
    """Whether another process is about to remove an entry."""
    try:
        return any(lives(each, each.name.removeprefix(_CLAIM)) for each in folder.glob(f"{_CLAIM}*"))
    except OSError:  # the entry is gone, which opening its files will show
        return True


def owner() -> str:
    """Return the name of this process, for use in file names."""
    return f"{os.getpid()}@{_machine()}"


@cache
def _machine() -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "_", socket.gethostname())


def lives(path: Path, owner: str) -> bool:
    """Whether the process that left a file is alive.

    Args:
        path: the file.
        owner: see `owner`; a process on another machine counts as alive for a day.
    """
    import psutil

    pid, _, machine = owner.partition("@")
    if machine != _machine():
        with suppress(OSError):
            return time.time() - path.stat().st_mtime < _FOREIGN
        return False
    return pid.isdigit() and psutil.pid_exists(int(pid))
